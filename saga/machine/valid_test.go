package machine_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// unreadable holds data that is declared as JSON but that some parsers cannot read (I12).
var unreadable = map[string]string{
	"Latin-1":      "{\"a\":\"caf\xe9\"}",
	"half a pair":  `{"a":"\ud800"}`,
	"a name twice": `{"a":1,"b":{"c":1,"\u0063":2}}`,
	"deep":         strings.Repeat("[", 121) + strings.Repeat("]", 121),
	"very deep":    strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000),
	"no JSON":      `{"a":`,
}

// TestValidData checks that data which some parsers cannot read is refused as input and as a
// result, and is never sent in a request. Data that is not declared as JSON must be passed on
// unchanged.
func TestValidData(t *testing.T) {
	def, err := saga.ParseJSON([]byte(`{"name":"n","version":1,"steps":[
		{"step":{"name":"a","kind":"compensable","do":{"participant":"p","action":"x","retry":{"attempts":1}},"undo":{"participant":"p","action":"y"}}},
		{"step":{"name":"b","kind":"pivot","do":{"participant":"p","action":"z","retry":{"attempts":1},"with":"{\"x\": {\"y\": input}}"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	start := func(payload, contentType string) (machine.Instance, error) {
		in, _, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(payload), ContentType: contentType})
		return in, err
	}
	begun, err := start(`{}`, "")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(in machine.Instance, step contract.StepName, payload, contentType string) (machine.Instance, machine.Effects) {
		next, eff, err := machine.Decide(def.Plan(), in, machine.Event{Type: contract.EventStepAnswered, At: epoch, Participant: "p", Step: step, Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeCompleted, Payload: []byte(payload), ContentType: contentType})
		if err != nil {
			t.Fatal(err)
		}
		return next, eff
	}
	second, _ := answer(begun, "a", "", "")
	parked, _ := answer(second, "b", "{", "")
	if parked.Phase != contract.PhaseParked {
		t.Fatalf("the phase is %s", parked.Phase)
	}
	for name, data := range unreadable {
		for _, contentType := range []string{"", "application/json", "application/problem+json; charset=utf-8"} {
			if _, err := start(data, contentType); !errors.Is(err, machine.ErrInput) || !strings.Contains(err.Error(), "at byte ") {
				t.Errorf("%s as %q is an input: %v", name, contentType, err)
			}
			in, _ := answer(begun, "a", data, contentType)
			if in.Phase != contract.PhaseCompensating || !strings.HasPrefix(in.Cause.Reason, "bad-result: the result of a is not valid JSON: at byte ") || in.Steps[0].Result != nil {
				t.Errorf("%s as %q is a result: %s, %v", name, contentType, in.Phase, in.Cause)
			}
		}
		if _, _, err := machine.Decide(def.Plan(), parked, machine.Event{Type: contract.EventOperationTaken, At: epoch, Operation: contract.OperationResolve, Step: "b", By: "kim", Reason: "x", Outcome: contract.OutcomeCompleted, Payload: []byte(data)}); err == nil || !strings.Contains(err.Error(), "not valid JSON: at byte ") {
			t.Errorf("%s is what an operator found out: %v", name, err)
		}
		if in, err := start(data, "text/plain"); err != nil || string(in.Input) != data {
			t.Errorf("%s as text: %v", name, err)
		}
		if in, _ := answer(begun, "a", data, "text/plain"); in.Phase != contract.PhaseRunning || !utf8.Valid(in.Steps[0].Result) {
			t.Errorf("%s as a result in text: %s", name, in.Phase)
		}
	}
	for depth, want := range map[int]contract.Phase{118: contract.PhaseRunning, 119: contract.PhaseCompensating, 120: contract.PhaseCompensating} { // the mapping adds two
		deep, err := start(strings.Repeat("[", depth)+strings.Repeat("]", depth), "")
		if err != nil {
			t.Fatalf("%d deep: %v", depth, err)
		}
		in, eff := answer(deep, "a", "", "")
		if in.Phase != want || want == contract.PhaseCompensating && (in.Cause.Kind != machine.CauseMappingFailed || !strings.Contains(in.Cause.Reason, "nested deeper than 120")) {
			t.Errorf("a request of what is %d deep: %s, %v", depth, in.Phase, in.Cause)
		}
		for _, c := range eff.Commands { // the undo contains the input, one level deeper
			if n := strings.Count(string(c.Payload), "["); n > 120 {
				t.Errorf("%s is asked with data that is %d deep", c.Action, n)
			}
		}
	}
}
