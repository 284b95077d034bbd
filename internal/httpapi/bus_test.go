package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/transport"
)

// TestTheBusOffersTheSame checks that NATS serves every method of the API, with the same answers.
func TestTheBusOffersTheSame(t *testing.T) {
	w := newFixture(t)
	w.park(t, "stuck")
	bus, err := w.coordinator.Connect(t.Context(), "asker")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	send := func(e *transport.Envelope, want string) string {
		t.Helper()
		e.Type = transport.TypeRequest
		reply, err := bus.Request(within(t), e)
		if err != nil {
			t.Fatalf("%s: %v", e.Subject, err)
		}
		said := strings.TrimSpace(reply.Code + " " + reply.Reason + " " + string(reply.Data))
		if !strings.Contains(said, want) {
			t.Errorf("%s %s answers %.400s, which does not say %s", e.Subject, e.Data, said, want)
		}
		return string(reply.Data)
	}
	ask := func(method, data, want string) string {
		t.Helper()
		return send(&transport.Envelope{Subject: "saga.api." + method, Data: []byte(data)}, want)
	}
	start := func(method, id, want string) {
		t.Helper()
		e := &transport.Envelope{Subject: "saga.api." + method, Data: []byte(`{"order":"more"}`), Expires: time.Now().Add(limit)}
		for name, value := range map[string]string{transport.AttrSaga: id, transport.AttrDefinition: "bakery"} {
			if err := e.SetAttribute(name, value); err != nil {
				t.Fatal(err)
			}
		}
		send(e, want)
	}
	start(api.MethodStart, "more", `"phase":"running"`)
	start(api.MethodRun, "more", `"existed":true`)
	ask(api.MethodGet, `{"id":"stuck"}`, `"legal":[{"operation":"retry","step":"ship"},{"operation":"resolve","step":"ship"},{"operation":"skip","step":"ship"},{"operation":"compensate"},{"operation":"abandon"},{"operation":"pause"}]`)
	ask(api.MethodWait, `{"id":"more","timeout":"60s"}`, `"phase":"parked"`)
	ask(api.MethodHistory, `{"id":"stuck","withSaga":true,"fromRevision":2,"limit":1}`, `"saga":{"id":"stuck"`)
	ask(api.MethodList, `{"filter":{"step":"ship","phases":["parked"]},"limit":1}`, `"nextCursor":"`)
	ask(api.MethodCount, `{"filter":{"open":true}}`, `"total":2`)
	ask(api.MethodListDefinitions, "", `"newest":true,"counts":[{"definition":{"name":"bakery","version":1},"phase":"parked","sagas":2}]`)
	ask(api.MethodGetDefinition, `{"definition":{"name":"bakery"}}`, `"mermaid":"flowchart`)
	ask(api.MethodCompareDefinitions, `{"from":{"name":"bakery"},"to":{"name":"bakery","version":1}}`, `{}`)
	const tea = `"name: tea\nversion: 1\nsteps:\n  - step: {name: brew, kind: retriable, do: {participant: pot, action: brew}}\n"`
	ask(api.MethodRegisterDefinition, `{"source":`+tea+`,"dryRun":true}`, `"fingerprint"`)
	ask(api.MethodGetDefinition, `{"definition":{"name":"tea"}}`, `not_found`)
	ask(api.MethodRegisterDefinition, `{"source":`+tea+`}`, `"newest":true`)
	ask(api.MethodListParticipants, "", `"name":"pot"`)
	ask(api.MethodGetOverview, "", `"parked":2`)
	ask(api.MethodListDeadLetters, "", `{}`)
	ask(api.MethodReplayDeadLetters, `{"sequences":[7]}`, `"failed":[{"sequence":7,"problem":"`)
	ask(api.MethodDiscardDeadLetters, `{"sequences":[]}`, `"violations":[{"field":"sequences"`)

	var began, moved api.PollResponse
	read := func(data string, into *api.PollResponse) {
		t.Helper()
		if err := json.Unmarshal([]byte(data), into); err != nil {
			t.Fatal(err)
		}
	}
	read(ask(api.MethodPoll, `{"position":"0-0","filter":{"idPrefix":"stuck"}}`, `"lost":true`), &began) // a position of another process
	ask(api.MethodOperate, `{"id":"stuck","decision":{"operation":"abandon","by":"kim","reason":"x"},"expectedRevision":1}`, `failed_precondition`)
	ask(api.MethodOperate, `{"id":"stuck","decision":{"operation":"abandon","by":"kim","reason":"x"}}`, `"ended":"`)
	read(ask(api.MethodPoll, fmt.Sprintf(`{"position":%q,"filter":{"idPrefix":"stuck"},"timeout":"60s"}`, began.Position), `"revision"`), &moved)
	if len(moved.Sagas) != 1 || moved.Sagas[0].Saga.Ended.IsZero() || moved.Lost || moved.Position == began.Position {
		t.Errorf("watched: %+v", moved)
	}
	ask(api.MethodGetDefinition, `{"definition":{"name":"bakery","version":-1}}`, `"violations":[{"field":"definition.version"`)
	ask(api.MethodPoll, `{"position":"yesterday"}`, `"violations":[{"field":"position"`)
	ask(api.MethodOperatePage, `{"filter":{"open":true},"decision":{"operation":"skip","by":"kim","reason":"x"},"dryRun":true}`, `{"matched":1,"done":1}`)
	ask(api.MethodOperatePage, `{"filter":{"open":true},"decision":{"operation":"skip","by":"kim","reason":"x"},"maxMatches":1}`, `{"matched":1,"done":1}`)
	ask(api.MethodGet, `{"id":"more"}`, `"phase":"completed"`)
}

// TestOneJSON checks that a request and its response are the same JSON over HTTP and on NATS, also
// if the request is refused.
func TestOneJSON(t *testing.T) {
	w := newFixture(t)
	w.park(t, "stuck")
	bus, err := w.coordinator.Connect(t.Context(), "asker")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	for _, tt := range []struct{ method, procedure, request, want string }{
		{api.MethodGet, "Get", `{"id":"stuck"}`, `"input":{"sizeBytes":18,"json":{"order":"stuck"}}`},
		{api.MethodHistory, "History", `{"id":"stuck","withSaga":true}`, `"type":"step_answered"`},
		{api.MethodList, "List", `{"filter":{"definition":{"name":"bakery","version":1},"phases":["parked"],"startedAfter":"2020-01-01T00:00:00Z"}}`, `"id":"stuck"`},
		{api.MethodCount, "Count", `{}`, `"counts":[{"definition":{"name":"bakery","version":1},"phase":"parked","sagas":1}],"total":1}`},
		{api.MethodGetDefinition, "GetDefinition", `{"definition":{"name":"bakery"}}`, `"canonical":{"name":"bakery"`},
		{api.MethodPoll, "Poll", `{"timeout":"0s"}`, `{"position":"`},
		{api.MethodOperatePage, "OperatePage", `{"filter":{"ids":["stuck"]},"decision":{"operation":"cancel","by":"kim","reason":"x"},"dryRun":true}`, `"refusals":[{"id":"stuck"`},
		{api.MethodGet, "Get", `{"id":"nobody"}`, `not_found`},
		{api.MethodList, "List", `{"filter":{"phases":["running","stuck"]}}`, `filter.phases[1]`},
		{api.MethodOperate, "Operate", `{"id":"stuck","decision":{"operation":"cancel","by":"kim","reason":"x"},"expectedRevision":1}`, `saga stuck is at revision 3, not at 1`},
		{api.MethodOperate, "Operate", `{"id":"stuck","decision":{"operation":"cancel","step":"No Step","by":"kim","reason":"x"}}`, `decision.step`},
	} {
		reply, err := bus.Request(within(t), &transport.Envelope{Subject: "saga.api." + tt.method, Type: transport.TypeRequest, Data: []byte(tt.request)})
		if err != nil {
			t.Fatal(err)
		}
		onBus := string(reply.Data)
		if reply.Code != "" {
			onBus = reply.Code + ": " + reply.Reason
		}
		for _, contentType := range []string{"application/json", "application/json; charset=utf-8"} {
			response, err := w.http.Post(w.HTTP+"/"+apiv1connect.CoordinatorServiceName+"/"+tt.procedure, contentType, strings.NewReader(tt.request))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			overHTTP := string(text)
			var refused struct{ Code, Message string }
			if response.StatusCode != http.StatusOK && json.Unmarshal(text, &refused) == nil {
				overHTTP = refused.Code + ": " + refused.Message
			}
			if overHTTP != onBus || !strings.Contains(onBus, tt.want) {
				t.Errorf("%s %s, %s: NATS answers\n%s\nHTTP\n%s\nwant %s", tt.method, tt.request, contentType, onBus, overHTTP, tt.want)
			}
		}
	}
}
