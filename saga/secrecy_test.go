package saga

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// canaries are words that stand in data and nowhere else.
type canaries []string

// add makes a word of letters, or of digits. No two have eight bytes in common.
func (c *canaries) text() string {
	word := fmt.Sprintf("%cq%04dzxkv%04dw", 'a'+len(*c)%26, 1000+len(*c), 7000+len(*c))
	*c = append(*c, word)
	return word
}

func (c *canaries) digits() string {
	word := fmt.Sprintf("83%04d6471%04d", 1000+len(*c), 5000+len(*c))
	*c = append(*c, word)
	return word
}

// in is a word of which eight bytes are in a text.
func (c *canaries) in(text string) (string, bool) {
	for _, word := range *c {
		for i := range len(word) - 7 {
			if strings.Contains(text, word[i:i+8]) {
				return word, true
			}
		}
	}
	return "", false
}

// data is JSON whose leaves and keys are canaries, but for the keys a, b and c.
func (c *canaries) data(t *rapid.T, depth int) string {
	kinds := []string{"text", "text", "number", "double", "huge", "true", "null", "time", "pattern"}
	if depth > 0 {
		kinds = append(kinds, "object", "object", "list")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "text":
		return `"` + c.text() + `"`
	case "number":
		return c.digits()
	case "double":
		return c.digits() + ".5"
	case "huge":
		return c.digits() + rapid.SampledFrom([]string{"e999", "0000000000000000000", "e300"}).Draw(t, "exponent")
	case "true":
		return "true"
	case "time":
		return `"2026-` + c.digits() + `"`
	case "pattern":
		return `"(` + c.text() + `"`
	case "list":
		return "[" + c.data(t, depth-1) + "," + c.data(t, depth-1) + "]"
	case "object":
		return fmt.Sprintf(`{"a":%s,"b":%s,%q:%s}`, c.data(t, depth-1), c.data(t, depth-1), c.text(), c.data(t, depth-1))
	}
	return "null"
}

// document is the data of a saga; sometimes it is broken.
func (c *canaries) document(t *rapid.T) string {
	whole := fmt.Sprintf(`{"a":%s,"b":%s,"c":%s,%q:%s}`, c.data(t, 2), c.data(t, 2), c.data(t, 1), c.text(), c.data(t, 1))
	if rapid.IntRange(0, 9).Draw(t, "broken") > 0 {
		return whole
	}
	at := rapid.IntRange(0, len(whole)).Draw(t, "at")
	return whole[:at] + rapid.SampledFrom([]string{"", "\x01", c.text(), `"`, "}", "[" + c.digits()}).Draw(t, "what")
}

// expression is one about input; variables are those of the macros around it.
func expression(t *rapid.T, depth int, variables []string) string {
	leaves := append([]string{"input.a", "input.b", "input.c", "input", "result.step_one", "result.step_one.a", "1", "0", `"x"`, "2.5", "true", "null", "-1u"}, variables...)
	if depth == 0 {
		return rapid.SampledFrom(leaves).Draw(t, "leaf")
	}
	e := func() string { return "dyn(" + expression(t, depth-1, variables) + ")" }
	within := append([]string{fmt.Sprintf("v%d", depth)}, variables...)
	forms := []func() string{
		func() string { return rapid.SampledFrom(leaves).Draw(t, "leaf") },
		func() string {
			f := rapid.SampledFrom([]string{"int", "uint", "double", "bool", "string", "bytes", "timestamp", "duration", "size", "-", "!", "type"}).Draw(t, "function")
			return f + "(" + e() + ")"
		},
		func() string {
			op := rapid.SampledFrom([]string{"+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"}).Draw(t, "operator")
			return "(" + e() + " " + op + " " + e() + ")"
		},
		func() string { return e() + "[" + e() + "]" },
		func() string { return e() + "[?" + e() + "].orValue(" + e() + ")" },
		func() string {
			return e() + rapid.SampledFrom([]string{".a", ".b.a", ".?a.value()", ".?b.?a"}).Draw(t, "field")
		},
		func() string { return "has(" + e() + ".a)" },
		func() string { return e() + ".matches(" + e() + ")" },
		func() string { return e() + ".startsWith(" + e() + ")" },
		func() string { return "{" + e() + ": " + e() + ", " + e() + ": 1}" },
		func() string { return `{?"k": ` + e() + "}" },
		func() string { return "[" + e() + ", ?" + e() + "]" },
		func() string { return "(" + e() + " ? " + e() + " : " + e() + ")" },
		func() string { return "timestamp(" + e() + ") + duration(" + e() + ")" },
		func() string { return "timestamp(" + e() + ").getFullYear()" },
		func() string {
			macro := rapid.SampledFrom([]string{"map", "filter", "all", "exists_one"}).Draw(t, "macro")
			return fmt.Sprintf("%s.%s(%s, dyn(%s))", e(), macro, within[0], expression(t, depth-1, within))
		},
	}
	return rapid.SampledFrom(forms).Draw(t, "form")()
}

// texts are all that a decision writes for people.
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

// secretive is a saga whose second step is the mapping.
func secretive(kind contract.Kind, input *Schema, with string) (*Definition, error) {
	step := func(name contract.StepName, kind contract.Kind, with string) Node {
		s := &Step{Name: name, Kind: kind, Do: Action{Participant: "p", Action: "act", With: with}}
		s.NothingToUndo = kind == contract.KindCompensable
		return Node{Step: s}
	}
	return New(Spec{Name: "secrets", Version: 1, Input: input, Steps: []Node{step("step-one", kind, ""), step("step-two", kind, with)}})
}

// TestNoTextHoldsData: whatever a mapping does and whatever the data is, nothing of the
// data is in the errors and reasons that come of it (a reason is in logs, spans and
// announcements, where --redact is too late).
func TestNoTextHoldsData(t *testing.T) {
	failed, told := 0, 0
	try := func(t *rapid.T) {
		var c canaries
		with := expression(t, 3, nil)
		def, err := secretive(rapid.SampledFrom([]contract.Kind{contract.KindCompensable, contract.KindRetriable}).Draw(t, "step"), nil, with)
		if err != nil {
			return // it does not type-check
		}
		var all []string
		input, result := c.document(t), c.document(t)
		at := epoch
		in, eff, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: at, ID: "s", Payload: []byte(input)})
		all = append(all, texts(&in, &eff, err)...)
		if err == nil {
			in, eff, err = machine.Decide(def.Plan(), in, machine.Event{Type: contract.EventStepAnswered, At: at, Participant: "p", Step: "step-one", Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeCompleted, Payload: []byte(result)})
			all = append(all, texts(&in, &eff, err)...)
			if _, whole := def.Try("step-two", []byte(input), map[contract.StepName][]byte{"step-one": []byte(result)}); whole != nil {
				failed++
				if _, found := c.in(whole.Error()); found {
					told++
				}
			}
			// The mapping itself, with data that no door has looked at.
			_, err = def.request(1, []byte(input), func(int) []byte { return []byte(result) })
			all = append(all, fmt.Sprint(err))
		}
		for _, text := range all {
			if word, found := c.in(text); found {
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

// TestNoTextOfADoorHoldsData: nor is it in what a caller is told of an input that does not
// fit.
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
		var c canaries
		input := c.document(t)
		if rapid.Bool().Draw(t, "nearly right") {
			input = fmt.Sprintf(`{"a":%s1.5,"b":{%q:%q,%q:1},"c":["%s!"],"d":%s}`, c.digits(), c.text(), c.text(), c.text(), c.text(), c.data(t, 1))
		}
		_, _, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(input)})
		if err == nil {
			return
		}
		refused++
		if word, found := c.in(err.Error()); found {
			t.Fatalf("input %s\n%q is in: %v", input, word, err)
		}
	})
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// TestEachFault: each kind of a mapping's failure, with data that CEL would quote.
func TestEachFault(t *testing.T) {
	var c canaries
	word, number := c.text(), c.digits()
	input := fmt.Sprintf(`{"w":%q,"n":%s,"f":%s.5,"h":%s00000000000,"x":%se999,"l":[%q],"m":{%q:1},"r":"(%s","i":-9223372036854775808}`,
		word, number, number, number, number, word, word, word)
	met := map[fault]bool{}
	for with, want := range map[string]fault{
		`input.missing`:      faultKey,
		`input[input.w]`:     faultKey,
		`input.l[input.n]`:   faultKey,
		`input.m[input.r]`:   faultKey,
		`input.w + input.n`:  faultRange,
		`input.i - input.n`:  faultRange,
		`input.n / 0`:        faultRange,
		`int(input.w)`:       faultConversion,
		`uint(input.i)`:      faultConversion,
		`bool(input.w)`:      faultConversion,
		`timestamp(input.w)`: faultTime,
		`duration(input.w)`:  faultTime,
		`timestamp("2026-01-01T00:00:00Z").getHours(input.w)`:                  "",
		`input.w.matches(input.r)`:                                             faultRegex,
		`input.w.matches(input.n)`:                                             faultType,
		`optional.none().value()`:                                              faultNone,
		`input.?w.optMap(v, v).orValue("") == "" ? 1 : input.?missing.value()`: faultNone,
		`{?input.w: input.w}`:                                                  faultBuild,
		`[?input.w]`:                                                           faultBuild,
		`{1: input.w, "1": 2}`:                                                 faultMapKey,
		`{input.w: 1, input.l[0]: 2}`:                                          "",
		`input.f / 0.0`:                                                        faultForm,
		`type(input.w)`:                                                        faultForm,
		`input.w.all(v, v)`:                                                    faultType,
		`input.w < input.n`:                                                    faultType,
		`!input.w`:                                                             faultType,
		`input.n ? 1 : 2`:                                                      faultType,
		`result.step_one.a`:                                                    faultNoResult,
		`input.h + 1`:                                                          faultInteger,
		`input.x * 2.0`:                                                        faultNumber,
	} {
		def, err := secretive(contract.KindRetriable, nil, with)
		if err != nil {
			if want == "" {
				continue
			}
			t.Errorf("%s: %v", with, err)
			continue
		}
		_, err = def.request(1, []byte(input), func(int) []byte { return nil })
		failed, ok := errors.AsType[*mappingError](err)
		if !ok {
			if want != "" {
				t.Errorf("%s: %v, want %q", with, err, want)
			}
			continue
		}
		data, _ := errors.AsType[*dataFault](failed.fault)
		if data == nil || want != "" && data.fault != want {
			t.Errorf("%s: %v, want %q; whole: %v", with, err, want, failed.whole())
			continue
		}
		met[data.fault] = true
		if found, is := c.in(err.Error()); is {
			t.Errorf("%s: %q is in: %v", with, found, err)
		}
	}
	for _, f := range []fault{faultKey, faultRange, faultConversion, faultTime, faultRegex, faultNone, faultBuild, faultMapKey, faultForm, faultType, faultNoResult, faultInteger, faultNumber} {
		if !met[f] {
			t.Errorf("%q was not met", f)
		}
	}
}

// TestSharedErrorsHaveNoPlace: some errors CEL has only once for all expressions. The place
// that the first failure wrote into them would be told of all others, so that what a
// decision says would depend on what was decided before (I6).
func TestSharedErrorsHaveNoPlace(t *testing.T) {
	for _, with := range []string{
		`dyn(1).orValue(true) ? 1 : 2`,
		`{"a": dyn(1).orValue({"b": 2}).b}`,
		`dyn(timestamp(dyn(input.n))) ? 1 : 2`,
		`{"a": dyn(timestamp(input.n)).b}`,
	} {
		def, err := secretive(contract.KindRetriable, nil, with)
		if err != nil {
			t.Fatal(err)
		}
		_, err = def.request(1, []byte(`{"n":9223372036854775807}`), func(int) []byte { return nil })
		failed, ok := errors.AsType[*mappingError](err)
		if !ok || failed.line != 0 || failed.column != 0 {
			t.Errorf("%s: %v", with, err)
		}
	}
}

// TestRefusedDecisionQuotesNobody: the error about a decision that is not legal says why the
// saga goes back, and not in the words of whoever said no.
func TestRefusedDecisionQuotesNobody(t *testing.T) {
	def, err := New(Spec{Name: "d", Version: 1, Steps: []Node{
		{Step: &Step{Name: "one", Kind: contract.KindCompensable, Do: Action{Participant: "p", Action: "act"}, Undo: &Action{Participant: "p", Action: "undo"}}},
		{Step: &Step{Name: "two", Kind: contract.KindCompensable, Do: Action{Participant: "p", Action: "act"}, NothingToUndo: true}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	in, err := machine.Fold(def.Plan(), []machine.Event{
		{Type: contract.EventStarted, At: epoch, ID: "s", Payload: []byte(`{}`)},
		{Type: contract.EventStepAnswered, At: epoch, Participant: "p", Step: "one", Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeCompleted},
		{Type: contract.EventStepAnswered, At: epoch, Participant: "p", Step: "two", Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeRejected, Reason: "card 4111-1111"},
	})
	if err != nil || in.Phase != contract.Compensating {
		t.Fatalf("%+v, %v", in, err)
	}
	_, _, err = machine.Decide(def.Plan(), in, machine.Event{Type: contract.EventOperationTaken, At: epoch, Operation: contract.OperationCancel, By: "kim", Reason: "no"})
	if err == nil || !strings.Contains(err.Error(), "the saga goes back already: rejected at two;") {
		t.Errorf("%v", err)
	}
}
