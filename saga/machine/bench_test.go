package machine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// four returns a saga with four steps. If with is not empty, it is the mapping of the last one.
func four(t testing.TB, with string) *saga.Definition {
	t.Helper()
	step := func(name, kind, more string) string {
		return fmt.Sprintf(`{"step":{"name":%q,"kind":%q,"do":{"participant":%q,"action":"act"%s}}}`, name, kind, "p-"+name, more)
	}
	mapping := ""
	if with != "" {
		mapping = fmt.Sprintf(`,"with":%q`, with)
	}
	def, err := saga.ParseJSON([]byte(`{"name":"four","version":1,"input":{"id":"string"},"steps":[` +
		step("one", "retriable", "") + "," + step("two", "retriable", "") + "," + step("three", "retriable", `,"result":{"n":"int"}`) + "," +
		step("last", "retriable", mapping) + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// run completes every step of a saga from its start.
func run(t testing.TB, def *saga.Definition) (transitions int) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	in, _, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: at, ID: "order-42", Payload: []byte(`{"id":"order-42"}`)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range def.Len() {
		step := def.Step(i)
		in, _, err = machine.Decide(def.Plan(), in, machine.Event{
			Type: contract.EventStepAnswered, At: at, Participant: step.Do.Participant, Step: step.Name, Direction: contract.DirectionDo, Attempt: 1,
			Outcome: contract.OutcomeCompleted, Payload: []byte(`{"n":7}`),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if in.Phase != contract.PhaseCompleted {
		t.Fatalf("phase %s", in.Phase)
	}
	return 1 + def.Len()
}

func BenchmarkDecide(b *testing.B) {
	def, n := four(b, ""), 0
	b.ReportAllocs()
	for b.Loop() {
		n = run(b, def)
	}
	b.ReportMetric(float64(n), "transitions/op")
}

func BenchmarkMapping(b *testing.B) {
	def := four(b, `{"id": input.id, "n": result.three.n}`)
	b.ReportAllocs()
	for b.Loop() {
		run(b, def)
	}
}
