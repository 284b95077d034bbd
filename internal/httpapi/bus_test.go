package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/transport"
)

// TestTheBusOffersTheSame checks that NATS serves every method of the API, with the same answers.
func TestTheBusOffersTheSame(t *testing.T) {
	w := newFixture(t)
	w.park(t, "stuck")
	bus, err := w.Connect(t.Context(), "asker")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	ask := func(method, saga, definition, data, want string) string {
		t.Helper()
		e := &transport.Envelope{Subject: "saga.api." + method, Type: transport.TypeRequest, Data: []byte(data), Expires: time.Now().Add(limit)}
		if err := e.SetAttribute(transport.AttrSaga, saga); saga != "" && err != nil {
			t.Fatal(err)
		}
		if err := e.SetAttribute(transport.AttrDefinition, definition); definition != "" && err != nil {
			t.Fatal(err)
		}
		reply, err := bus.Request(within(t), e)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		said := strings.TrimSpace(reply.Code + " " + reply.Reason + " " + string(reply.Data))
		if !strings.Contains(said, want) {
			t.Errorf("%s %s answers %.400s, which does not say %s", method, data, said, want)
		}
		return string(reply.Data)
	}
	ask(transport.APIStart, "more", "bakery", `{"order":"more"}`, `"phase":"running"`)
	ask(transport.APIGet, "stuck", "", "", `"legal":[{"operation":"retry","step":"ship"},{"operation":"resolve","step":"ship"},{"operation":"skip","step":"ship"},{"operation":"compensate"},{"operation":"abandon"},{"operation":"pause"}]`)
	ask(transport.APIWait, "more", "", "", `"phase":"parked"`)
	ask(transport.APIHistory, "stuck", "", `{"with_saga":true,"from":2,"limit":1}`, `"saga":{"id":"stuck"`)
	ask(transport.APIList, "", "", `{"step":"ship","phases":["parked"],"limit":1}`, `"next":"`)
	ask(transport.APICount, "", "", `{"open":true}`, `"total":2`)
	ask(transport.APIDefinitions, "", "", "", `"newest":true,"counts":[{"definition":{"name":"bakery","version":1},"phase":"parked","sagas":2}]`)
	ask(transport.APIDefinition, "", "bakery", "", `"mermaid":"flowchart`)
	ask(transport.APICompareDefinitions, "", "", `{"from":{"name":"bakery"},"to":{"name":"bakery","version":1}}`, `"differences":[]`)
	const tea = "name: tea\nversion: 1\nsteps:\n  - step: {name: brew, kind: retriable, do: {participant: pot, action: brew}}\n"
	ask(transport.APICheckDefinition, "", "", tea, `"fingerprint"`)
	ask(transport.APIDefine, "", "", tea, `"newest":true`)
	ask(transport.APIParticipants, "", "", "", `"name":"pot","waiting":0`)
	ask(transport.APIOverview, "", "", "", `"parked":2`)
	ask(transport.APIDeadLetters, "", "", "", `"dead_letters":[]`)
	ask(transport.APIReplayDeadLetters, "", "", `{"sequences":[7]}`, `"failed":[{"sequence":7,"problem":"`)
	ask(transport.APIDiscardDeadLetters, "", "", `{"sequences":[]}`, `"violations":[{"field":"sequences"`)

	var began, moved transport.WatchReply
	read := func(data string, into *transport.WatchReply) {
		t.Helper()
		if err := json.Unmarshal([]byte(data), into); err != nil {
			t.Fatal(err)
		}
	}
	read(ask(transport.APIWatch, "", "", `{"after":"0-0","id_prefix":"stuck"}`, `"lost":true`), &began) // a position of another process
	ask(transport.APIOperate, "stuck", "", `{"operation":"abandon","by":"kim","reason":"x","expected_revision":1}`, `failed_precondition`)
	ask(transport.APIOperate, "stuck", "", `{"operation":"abandon","by":"kim","reason":"x"}`, `"ended":"`)
	read(ask(transport.APIWatch, "", "", fmt.Sprintf(`{"after":%q,"id_prefix":"stuck"}`, began.Position), `"revision"`), &moved)
	if len(moved.Sagas) != 1 || moved.Sagas[0].Saga.Ended.IsZero() || moved.Lost || moved.Position == began.Position {
		t.Errorf("watched: %+v", moved)
	}
	ask(transport.APIWatch, "", "", `{"after":"yesterday"}`, `"violations":[{"field":"after"`)
	ask(transport.APIOperateAll, "", "", `{"filter":{"open":true},"decision":{"operation":"skip","by":"kim","reason":"x"},"dry_run":true}`, `{"matched":1,"done":1}`)
	ask(transport.APIOperateAll, "", "", `{"filter":{"open":true},"decision":{"operation":"skip","by":"kim","reason":"x"},"at_most":1}`, `{"matched":1,"done":1}`)
	ask(transport.APIGet, "more", "", "", `"phase":"completed"`)
}
