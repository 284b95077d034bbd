package saga

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/datatest"
	"github.com/amends-dev/amends/saga/machine"
)

// texts returns all texts that a decision writes for people.
func texts(in *machine.Instance, eff *machine.Effects, err error) (all []string) {
	if err != nil {
		return []string{err.Error()}
	}
	for i := range in.Steps {
		all = append(all, in.Steps[i].Do.Reason(), in.Steps[i].Undo.Reason())
	}
	for _, cause := range []*machine.Cause{in.Cause, in.PendingCause} {
		if cause != nil {
			all = append(all, cause.String())
		}
	}
	for _, a := range eff.Announcements {
		all = append(all, a.Reason)
	}
	return all
}

// secretive returns a saga whose second step has the mapping.
func secretive(kind contract.Kind, input *Schema, with string) (*Definition, error) {
	step := func(name contract.StepName, kind contract.Kind, with string) Node {
		s := &Step{Name: name, Kind: kind, Do: Action{Participant: "p", Action: "act", With: with}}
		s.NothingToUndo = kind == contract.KindCompensable
		return Node{Step: s}
	}
	return New(Spec{Name: "secrets", Version: 1, Input: input, Steps: []Node{step("step-one", kind, ""), step("step-two", kind, with)}})
}

// TestNoTextHoldsData checks that errors and reasons contain no data, whatever a mapping does and
// whatever the data is. Reasons appear in logs, spans and announcements, where --redact would be
// too late.
func TestNoTextHoldsData(t *testing.T) {
	failed, told := 0, 0
	try := func(t *rapid.T) {
		var c datatest.Canaries
		with := datatest.Expression(t, 3, nil)
		def, err := secretive(rapid.SampledFrom([]contract.Kind{contract.KindCompensable, contract.KindRetriable}).Draw(t, "step"), nil, with)
		if err != nil {
			return // it does not type-check
		}
		var all []string
		input, result := c.Document(t), c.Document(t)
		at := epoch
		in, eff, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: at, ID: "s", Payload: []byte(input)})
		all = append(all, texts(&in, &eff, err)...)
		if err == nil {
			in, eff, err = machine.Decide(def.Plan(), in, machine.Event{Type: contract.EventStepAnswered, At: at, Participant: "p", Step: "step-one", Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeCompleted, Payload: []byte(result)})
			all = append(all, texts(&in, &eff, err)...)
			if _, whole := def.Try("step-two", []byte(input), map[contract.StepName][]byte{"step-one": []byte(result)}); whole != nil {
				failed++
				if _, found := c.In(whole.Error()); found {
					told++
				}
			}
			// Run the mapping directly, with unchecked data.
			_, err = def.request(1, []byte(input), func(int) []byte { return []byte(result) })
			all = append(all, fmt.Sprint(err))
		}
		for _, text := range all {
			if word, found := c.In(text); found {
				t.Fatalf("%s\ninput %s\nresult %s\n%q is in: %s", with, input, result, word, text)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 10 {
			try(t)
		}
	})
	t.Logf("%d evaluations failed; what CEL said of %d held data", failed, told)
	if failed < 10 || told == 0 {
		t.Errorf("%d evaluations failed, and CEL's own words held data in %d: this tries nothing", failed, told)
	}
}

// TestNoTextOfADoorHoldsData checks that the error for an input that does not match the schema
// contains no data either.
func TestNoTextOfADoorHoldsData(t *testing.T) {
	schema := &Schema{Kind: SchemaObject, Fields: map[string]*Schema{
		"a": {Kind: SchemaInt}, "b": {Kind: SchemaMap, Items: &Schema{Kind: SchemaTime}}, "c": {Kind: SchemaList, Items: &Schema{Kind: SchemaBytes}},
		"d": {Kind: SchemaObject, Optional: true, Fields: map[string]*Schema{"a": {Kind: SchemaDouble}}},
	}}
	def, err := secretive(contract.KindRetriable, schema, "input.a")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	rapid.Check(t, func(t *rapid.T) {
		var c datatest.Canaries
		input := c.Document(t)
		if rapid.Bool().Draw(t, "nearly right") {
			input = fmt.Sprintf(`{"a":%s1.5,"b":{%q:%q,%q:1},"c":["%s!"],"d":%s}`, c.Digits(), c.Text(), c.Text(), c.Text(), c.Text(), c.Data(t, 1))
		}
		_, _, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(input)})
		if err == nil {
			return
		}
		refused++
		if word, found := c.In(err.Error()); found {
			t.Fatalf("input %s\n%q is in: %v", input, word, err)
		}
	})
	if refused == 0 {
		t.Error("nothing was refused")
	}
}
