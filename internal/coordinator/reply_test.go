package coordinator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// TestRepliesFitTheBus checks that a saga whose results are larger than a bus message can still be
// shown (I10).
func TestRepliesFitTheBus(t *testing.T) {
	const steps, size, carried = 12, 150 << 10, 1 << 20
	var spec strings.Builder
	for i := range steps {
		fmt.Fprintf(&spec, `%s{"step":{"name":"s%d","kind":"retriable","do":{"participant":"p","action":"a"}}}`, strings.Repeat(",", min(i, 1)), i)
	}
	def, err := saga.ParseJSON([]byte(`{"name":"large","version":1,"steps":[` + spec.String() + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	s, bus := memstore.New(), membus.New(membus.Options{})
	defer bus.Close()
	engine, err := coordinator.NewEngine(t.Context(), s, transport.Subjects{}, []byte("secret"), 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Register(t.Context(), def); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	inputs := []coordinator.Input{{Saga: "big", Definition: def.Ref(), Event: machine.Event{Type: contract.EventStarted, At: at, ID: "big", Payload: []byte("{}")}}}
	result := append(append([]byte(`"`), bytes.Repeat([]byte("x"), size)...), '"')
	for i := range steps {
		inputs = append(inputs, coordinator.Input{Saga: "big", Event: machine.Event{
			Type: contract.EventStepAnswered, At: at, Participant: "p", Step: contract.StepName(fmt.Sprint("s", i)),
			Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeCompleted, Payload: result,
		}})
	}
	if _, err := engine.Step(t.Context(), inputs); err != nil {
		t.Fatal(err)
	}
	c, err := coordinator.New(coordinator.Config{Store: s, Bus: bus, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := coordinator.Load(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ask := func(method string, query, reply any) {
		t.Helper()
		data, err := json.Marshal(query)
		if err != nil {
			t.Fatal(err)
		}
		e := c.Handle(context.Background(), method, &transport.Envelope{Data: data})
		if e.Code != "" {
			t.Fatalf("%s: %s %s", method, e.Code, e.Reason)
		}
		if len(e.Data) > carried-64<<10 {
			t.Errorf("%s: the reply has %d bytes", method, len(e.Data))
		}
		if err := json.Unmarshal(e.Data, reply); err != nil {
			t.Fatal(err)
		}
	}

	var got api.GetResponse
	ask(api.MethodGet, api.GetRequest{ID: "big"}, &got)
	status := got.Saga
	if first := status.Steps[0].Result; status.Phase != contract.PhaseCompleted || !bytes.Equal(first.JSON, result) {
		t.Errorf("phase is %s, the first result has %d bytes", status.Phase, len(first.JSON))
	}
	if last := status.Steps[steps-1].Result; !last.LeftOut || last.JSON != nil || last.SizeBytes != len(result) {
		t.Errorf("the last result is %.80s of %d bytes, left out: %t", last.JSON, last.SizeBytes, last.LeftOut)
	}

	want := uint64(1)
	for query := (api.HistoryRequest{ID: "big"}); ; {
		var part api.HistoryResponse
		ask(api.MethodHistory, query, &part)
		for _, e := range part.Events {
			if e.Revision != want {
				t.Fatalf("revision %d follows %d", e.Revision, want-1)
			}
			want++
		}
		if part.NextRevision == 0 {
			break
		}
		query.FromRevision = part.NextRevision
	}
	if want != steps+2 {
		t.Errorf("%d events were read, want %d", want-1, steps+1)
	}
}
