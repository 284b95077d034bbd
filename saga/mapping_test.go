package saga

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/amends-dev/amends/contract"
)

// mapOne defines a saga with a step "first" and a step with the mapping, and runs the mapping.
func mapOne[In, Req any](t *testing.T, with, input, first string) (string, error) {
	t.Helper()
	d, err := mapDefine[In, Req](with)
	if err != nil {
		t.Fatalf("define: %v", err)
	}
	out, err := d.request(1, []byte(input), func(step int) []byte {
		if step != 0 {
			t.Errorf("asked for the result of step %d", step)
		}
		if first == "" {
			return nil
		}
		return []byte(first)
	})
	return string(out), err
}

func mapDefine[In, Req any](with string) (*Definition, error) {
	return Define[In]("map",
		Retriable("step-one", Do(contract.NewCommand[any, testReceipt]("a", "b"))),
		Retriable("step-two", Do(contract.NewCommand[Req, any]("a", "c"), With(with))))
}

type testNumbers struct {
	I int64   `json:"i"`
	U uint64  `json:"u,omitempty"`
	D float64 `json:"d"`
	B []byte  `json:"b,omitempty"`
}

func TestMappingValues(t *testing.T) {
	const order = `{"order_id":"o","customer":9007199254740993,"amount":1e2,"lines":[{"sku":"s","quantity":2,"colour":"red"}],` +
		`"note":null,"labels":{"b":"2","a":"1"},"placed":"2026-01-02T03:04:05Z","extra":{"n":1.50,"big":18446744073709551615,"z":[null]}}`
	for _, test := range []struct{ name, with, want string }{
		{"a whole object", `input`, `{"amount":1e2,"customer":9007199254740993,"extra":{"big":18446744073709551615,"n":1.50,"z":[null]},"labels":{"a":"1","b":"2"},"lines":[{"colour":"red","quantity":2,"sku":"s"}],"note":null,"order_id":"o","placed":"2026-01-02T03:04:05Z"}`},
		{"what the schema does not know goes along", `input.lines`, `[{"colour":"red","quantity":2,"sku":"s"}]`},
		{"integers keep every digit", `input.customer + 2`, `9007199254740995`},
		{"doubles are doubles", `input.amount / 8.0`, `12.5`},
		{"macros", `input.lines.map(l, {"sku": l.sku, "n": l.quantity * 2})`, `[{"n":4,"sku":"s"}]`},
		{"filter", `input.lines.filter(l, l.quantity > 2)`, `[]`},
		{"maps in order", `input.labels.map(k, k + input.labels[k])`, `["a1","b2"]`},
		{"maps of the expression in order", `{"z": 1, "b": 2, "a": 3, "x": 4, "y": 5}.map(k, k)`, `["a","b","x","y","z"]`},
		{"integer keys in order", `{10: 1, 9: 2, 100: 3}.map(k, k)`, `[9,10,100]`},
		{"guards", `has(input.note) ? input.note : "none"`, `"none"`},
		{"optionals", `{?"note": input.?note, "zip": input.?address.?zip.orValue("-")}`, `{"zip":"-"}`},
		{"results", `result.step_one.number`, `9007199254740993`},
		{"time", `timestamp(input.placed) + duration("24h")`, `"2026-01-03T03:04:05Z"`},
		{"parts of a time", `timestamp(input.placed).getHours()`, `3`},
		{"no escapes", `"<&>" + input.order_id`, `"<&>o"`},
		{"bytes", `b"abc"`, `"YWJj"`},
		{"null", `null`, `null`},
		{"any in any", `input.extra.n * 2.0`, `3`},
		{"equal objects", `input.lines[0] == input.lines[0]`, `true`},
		{"dyn", `dyn(input.lines[0]).sku`, `"s"`},
		{"fields that are no identifiers", "{'order-id': 1}.`order-id`", `1`},
		{"keys become strings", `{1: "a", true: "b"}`, `{"1":"a","true":"b"}`},
		{"regular expressions", `"order-42".matches("^order-[0-9]+$")`, `true`},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 5 { // the same bytes every time (I6)
				got, err := mapOne[testOrder, any](t, test.with, order, `{"receipt_id":"r","number":9007199254740993}`)
				if err != nil || got != test.want {
					t.Fatalf("got %s, %v, want %s", got, err, test.want)
				}
			}
		})
	}
}

func TestMappingEmptyCollections(t *testing.T) {
	got, err := mapOne[testNumbers, any](t, `[size(input.b), size(input.b) == 0 ? 1 : 2]`, `{"i":1,"d":2}`, "")
	if err != nil || got != "[0,1]" {
		t.Errorf("missing bytes: %s, %v", got, err)
	}
	got, err = mapOne[testOrder, any](t, `[size(input.lines), size(input.labels)]`, `{"lines":null,"labels":null}`, "")
	if err != nil || got != "[0,0]" {
		t.Errorf("null list and map: %s, %v", got, err)
	}
}

func TestMappingFailsClearly(t *testing.T) {
	huge := `{"order_id":"` + strings.Repeat("x", 100_000) + `"}`
	lines := `{"lines":[` + strings.Repeat(`{"sku":"a","quantity":1},`, 99) + `{"sku":"a","quantity":1}]}`
	for _, test := range []struct{ name, with, input, first, want, whole string }{
		{"not JSON", `input.order_id`, `<xml/>`, "", "the saga's input is not JSON: line 1, column 1", "invalid character '<'"},
		{"empty", `input.order_id`, ``, "", "the saga's input is not JSON: it is empty", ""},
		{"two values", `input.order_id`, `{} {}`, "", "the saga's input is not JSON: there is data after its end", ""},
		{"a field is missing", `input.order_id`, `{}`, "", "input.order_id is missing", ""},
		{"a field is null", `input.order_id`, `{"order_id":null}`, "", "input.order_id is missing", ""},
		{"a list is missing", `input.lines`, `{}`, "", "input.lines is missing", ""},
		{"a list is a string", `input.lines`, `{"lines":"x"}`, "", "input.lines is a string where the schema says list", ""},
		{"an item is a number", `input.lines`, `{"lines":[1]}`, "", "input.lines[] is a number where the schema says object", ""},
		{"the input is a list", `input.order_id`, `[]`, "", "input is a list where the schema says object", ""},
		{"an integer too large", `input.customer`, `{"customer":9223372036854775808}`, "", "input.customer is not a 64-bit integer", "input.customer is 9223372036854775808, which is not a 64-bit integer"},
		{"a fraction for an integer", `input.customer`, `{"customer":1.5}`, "", "input.customer is not a 64-bit integer", "input.customer is 1.5, which is not a 64-bit integer"},
		{"an integer as a double", `input.customer`, `{"customer":3.0}`, "", "is not a 64-bit integer written without fraction and exponent", "input.customer is 3.0, which is not a 64-bit integer"},
		{"a double too large", `input.amount`, `{"amount":1e999}`, "", "input.amount is a number that is out of range", "input.amount is 1e999, which is out of range"},
		{"any too large", `input.extra + 1`, `{"extra":123456789012345678901234567890}`, "", "input.extra is not a 64-bit integer", "input.extra is 123456789012345678901234567890, which is not a 64-bit integer"},
		{"no result", `result.step_one.number`, `{}`, "", "result.step_one is missing: the step was skipped, or returned no result; guard it with has(result.step_one)", ""},
		{"null result", `result.step_one.number`, `{}`, "null", "result.step_one is missing", ""},
		{"result not JSON", `result.step_one.number`, `{}`, "OK", "result.step_one is not JSON: line 1, column 1", "invalid character 'O'"},
		{"division by zero", `1 / (size(input.lines))`, `{"lines":[]}`, "", "line 1, column 3: a number is out of range, or is divided by zero", "division by zero"},
		{"overflow", `input.customer + 9223372036854775807`, `{"customer":1}`, "", "line 1, column 16: a number is out of range", "integer overflow"},
		{"no number", `1.0 / 0.0`, `{}`, "", "the value cannot be represented in JSON", "the number +Inf cannot be represented in JSON"},
		{"a type", `type(1)`, `{}`, "", "cannot be represented in JSON", "a type cannot be represented in JSON"},
		{"a duration", `duration("1h")`, `{}`, "", "cannot be represented in JSON; convert it, for example with string()", "a google.protobuf.Duration cannot be represented"},
		{"keys meet", `{1: "a", "1": "b"}`, `{}`, "", "a map key is not a string, or two keys are the same in JSON", "the map has the key \"1\" twice in JSON"},
		{"index", `input.lines[3]`, `{"lines":[]}`, "", "line 1, column 12: there is no such key, field or index", "index out of bounds: 3"},
		{"too long", `[1,2,3].map(x, input.order_id)`, huge, "", "the request is too long", ""},
		{"too much work", `input.lines.map(a, input.lines.map(b, input.lines.map(c, a.quantity*b.quantity*c.quantity)))`, lines, "", "the evaluation exceeds its cost limit", "cost limit exceeded"},
		{"lists that double", `7 in ([[1,2,3,4]]` + strings.Repeat(".map(x, x+x)", 40) + `)[0]`, `{}`, "", "the evaluation exceeds its cost limit", "cost limit exceeded"},
		{"strings that double", `size(([input.order_id]` + strings.Repeat(".map(x, x+x)", 30) + `)[0])`, huge, "", "the evaluation exceeds its cost limit", "cost limit exceeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := mapOne[testOrder, any](t, test.with, test.input, test.first)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %.100s, %v; want an error with %q", got, err, test.want)
			}
			if !strings.HasPrefix(err.Error(), "request of step step-two: evaluate ") {
				t.Errorf("the error does not name step and expression: %v", err)
			}
			d, err := mapDefine[testOrder, any](test.with)
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Try("step-two", []byte(test.input), map[contract.StepName][]byte{"step-one": []byte(test.first)})
			if err == nil || !strings.Contains(err.Error(), cmp.Or(test.whole, test.want)) || !strings.HasPrefix(err.Error(), "request of step step-two: evaluate ") {
				t.Errorf("Try: %v; want an error with %q", err, cmp.Or(test.whole, test.want))
			}
		})
	}
}

// TestNoMappingPassesBytesOn checks that, without a mapping, the input is not parsed but passed on
// byte for byte.
func TestNoMappingPassesBytesOn(t *testing.T) {
	d, err := testCheckout()
	if err != nil {
		t.Fatal(err)
	}
	const input = "\x00 not JSON at all"
	got, err := d.request(0, []byte(input), nil)
	if err != nil || string(got) != input {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestMappingReadsOnlyWhatItUses checks that JSON which no mapping uses is not parsed.
func TestMappingReadsOnlyWhatItUses(t *testing.T) {
	got, err := mapOne[testOrder, any](t, `{"n": result.step_one.number}`, "not JSON", `{"number":1}`)
	if err != nil || got != `{"n":1}` {
		t.Errorf("input was read: %s, %v", got, err)
	}
	got, err = mapOne[testOrder, any](t, `has(result.step_one) ? 1 : 2`, "", "not JSON")
	if err != nil || got != `1` {
		t.Errorf("the result was read: %s, %v", got, err)
	}
}

func TestMappingIsSafeForConcurrentUse(t *testing.T) {
	d, err := testCheckout()
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(testOrder{OrderID: "o", Lines: []testLine{{"s", 1}}})
	if err != nil {
		t.Fatal(err)
	}
	i, _ := d.find("charge-card")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				got, err := d.request(i, input, func(int) []byte { return nil })
				if err != nil || string(got) != `{"amount":0,"customer":0,"order_id":"o"}` {
					t.Errorf("got %s, %v", got, err)
				}
			}
		})
	}
	all.Wait()
}

func TestMappingIsCheckedWhenBuilt(t *testing.T) {
	const path = "steps[1] (step-two).do.with: "
	for _, test := range []struct {
		name, with string
		want       []string
	}{
		{"fits", testChargeWith, nil},
		{"int for double", `{"order_id": "", "customer": 1, "amount": 3}`, nil},
		{"optional left out", `{"order_id": "", "customer": 1, "amount": 3, ?"note": input.?note}`, nil},
		{"both ways fit", `input.amount > 1.0 ? {"order_id": "a", "customer": 1, "amount": 3} : {"order_id": "b", "customer": 1, "amount": 3}`, nil},
		{"any fits", `input.extra`, nil},
		{"the input itself", `input`, nil},
		{"unknown field of the input", `{"order_id": input.oder_id, "customer": 1, "amount": 3}`,
			[]string{"line 1, column 19: undefined field 'oder_id'; there is address, amount, customer, extra, labels, lines, note, order_id, placed"}},
		{"missing field", `{"order_id": "", "customer": 1}`, []string{"the field amount (double) is missing; the command needs it: add it"}},
		{"unknown field of the request", `{"order_id": "", "customer": 1, "amount": 3, "ammount": 4}`,
			[]string{"the field ammount is not known to the command; it would be dropped silently; the command takes amount, customer, note, order_id"}},
		{"wrong types, each its own problem", `{"order_id": 1, "customer": "", "amount": true, "note": [1]}`, []string{
			"the field order_id is of type int, but the command takes string; convert it, for example with string()",
			"the field customer is of type string, but the command takes int; convert it, for example with int()",
			"the field amount is of type bool, but the command takes double; convert it, for example with double()",
			"the field note is of type list(int), but the command takes string; convert it, or pass another value"}},
		{"double for int", `{"order_id": "", "customer": input.amount, "amount": 3}`,
			[]string{"the field customer is of type double, but the command takes int; convert it, for example with int()"}},
		{"one way does not fit", `input.amount > 1.0 ? {"order_id": "a", "customer": 1, "amount": 3} : dyn(1)`, nil},
		{"a field twice", `{"order_id": "", "customer": 1, "amount": 3, "amount": 4}`, []string{"the field amount is given twice; keep one"}},
		{"a key that is made", `{"order_" + "id": "", "customer": 1, "amount": 3}`,
			[]string{"the request has a key that is not written out; write the names of the fields as strings, so that they can be checked"}},
		{"required left out", `{?"order_id": input.?note, "customer": 1, "amount": 3}`,
			[]string{"the field order_id may be left out, but the command needs it; write it without ? and end the value with .orValue(…)"}},
		{"optional value", `{"order_id": input.?note, "customer": 1, "amount": 3}`,
			[]string{"the field order_id is of type optional_type(string), but the command takes string; end it with .orValue(…), or write the key with a ? in front"}},
		{"null", `{"order_id": null, "customer": 1, "amount": 3, "note": null}`,
			[]string{"the field order_id is of type null, but the command takes string; convert it, or pass another value"}},
		{"unguarded", `{"order_id": input.note, "customer": 1, "amount": 3}`,
			[]string{`input.note may be missing; guard it: has(input.note) ? input.note : ""; or leave it out with {?"note": ….?note}`}},
		{"unguarded in between", `{"order_id": has(input.address.zip) ? input.address.zip : "", "customer": 1, "amount": 3}`,
			[]string{`input.address may be missing; guard it: has(input.address) ? input.address : …; or leave it out with {?"address": ….?address}`}},
		{"guarded by and", `{"order_id": has(input.address) && has(input.address.zip) ? input.address.zip : "", "customer": 1, "amount": 3}`, nil},
		{"guarded by not", `{"order_id": !has(input.note) ? "" : input.note, "customer": 1, "amount": 3}`, nil},
		{"guarded by or", `{"order_id": !has(input.note) || input.note == "" ? "-" : "+", "customer": 1, "amount": 3}`, nil},
		{"another object", `result.step_one`, []string{
			"the field amount (double) is missing; the command needs it: write the fields out and add it",
			"the field customer (int) is missing; the command needs it: write the fields out and add it",
			"the field order_id (string) is missing; the command needs it: write the fields out and add it"}},
		{"a map for an object", `input.labels`, []string{
			`the request is of type map(string, string), but the command takes object; write the fields out: {"name": value, …}`}},
		{"own result", `{"order_id": string(result.step_two), "customer": 1, "amount": 3}`,
			[]string{"uses the step's own result (result.step_two); use input, or result.step_one"}},
		{"later", `{"order_id": string(result.step_three), "customer": 1, "amount": 3}`,
			[]string{"uses result.step_three, but step step-three comes later; move the step before this one, or use result.step_one"}},
		{"later, optional", `{"order_id": string(result.?step_three.orValue(1)), "customer": 1, "amount": 3}`,
			[]string{"uses result.step_three, but step step-three comes later; move the step before this one, or use result.step_one"}},
		{"no such step", `{"order_id": string(result.step_four), "customer": 1, "amount": 3}`,
			[]string{"line 1, column 27: undefined field 'step_four'; there is step_one, step_three, step_two"}},
		{"with a hyphen", `{"order_id": result.step-one.receipt_id, "customer": 1, "amount": 3}`, []string{
			"line 1, column 20: undefined field 'step'; there is step_one, step_three, step_two",
			"line 1, column 26: undeclared reference to 'one'; there is input, and result with one field for each step (hyphens as underscores)"}},
		{"all results", `{"order_id": string(result == result), "customer": 1, "amount": 3}`,
			[]string{"uses result as a whole; name the step: result.step_one"}},
		{"shadows", `{"order_id": input.lines.map(result, result.sku)[0], "customer": 1, "amount": 3}`,
			[]string{"declares a variable with the name result; give it another name"}},
		{"syntax", `{"order_id": `, []string{"line 1, column 14: Syntax error: mismatched input '<EOF>'"}},
		{"deep", strings.Repeat("(", 200) + "1" + strings.Repeat(")", 200), []string{"recursion limit exceeded: 100"}},
		{"time zones of the machine", `timestamp(input.placed).getHours("Europe/Berlin")`, []string{"line 1, column 33: found no matching overload for 'getHours'"}},
		{"bad time", `timestamp("yesterday")`, []string{"invalid timestamp argument"}},
		{"bad regular expression", `"a".matches("(")`, []string{"invalid matches argument"}},
		{"large regular expression", `"a".matches("(x{100}){10}")`, []string{"the expression cannot be compiled: invalid regular expression: it compiles to at least 1020 instructions"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Define[testOrder]("map",
				Retriable("step-one", Do(contract.NewCommand[any, testReceipt]("a", "b"))),
				Retriable("step-two", Do(contract.NewCommand[testCharge, any]("a", "c"), With(test.with))),
				Retriable("step-three", Do(contract.NewCommand[any, int]("a", "b"))))
			if len(test.want) == 0 {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			lines := strings.Split(err.Error(), "\n")[1:]
			if len(lines) < len(test.want) {
				t.Fatalf("got %v, want %d problems", err, len(test.want))
			}
			for i, want := range test.want {
				if !strings.HasPrefix(lines[i], "  "+path) || !strings.Contains(lines[i], want) {
					t.Errorf("problem %d is\n%s\nwant %s", i, lines[i], path+want)
				}
			}
		})
	}
}

func TestMappingOfSiblingIsRefused(t *testing.T) {
	_, err := testCheckoutWith(`{"order_id": string(result.check_again), "customer": 1, "amount": 3}`)
	wantProblems(t, err, []string{
		"steps[1].parallel[0] (charge-card).do.with: uses result.check_again, but step check-again runs beside this one in the same parallel; " +
			"it may not be done by then: put both into a sequence, or use result.reserve_stock"})
}

func testCheckoutWith(with string) (*Definition, error) {
	check := contract.NewCommand[testOrderID, int]("fraud", "check")
	return Define[testOrder]("checkout",
		Compensable("reserve-stock", Do(testReserveStock), Undo(testReleaseStock)),
		Parallel(
			Compensable("charge-card", Do(testChargeCard, With(with)), Undo(testRefundCard)),
			Sequence(
				Compensable("check-fraud", Do(check), NothingToUndo()),
				Compensable("check-again", Do(check, With(`{"order_id": string(result.check_fraud)}`)), NothingToUndo()))))
}

func TestOneProblemPerExpressionError(t *testing.T) {
	_, err := mapDefine[testOrder, any](strings.Repeat("nobody + ", 500) + "nobody")
	if err == nil || len(err.Error()) > 5_000 {
		t.Errorf("the error is not bounded: %.200v", err)
	}
}

func FuzzMapping(f *testing.F) {
	f.Add(testChargeWith, `{"order_id":"o","customer":1,"amount":2}`)
	f.Add(`input.lines.map(l, {"sku": l.sku})`, `{"lines":[{"sku":"a","quantity":1}]}`)
	f.Add(`has(input.note) ? input.note : ""`, `{"note":1}`)
	f.Add(`{?"a": input.?address.?zip}`, `{"address":{}}`)
	f.Add(`dyn(input) == dyn(result.step_one)`, `{"amount":1e400}`)
	f.Fuzz(func(t *testing.T, with, input string) {
		if with == "" {
			return
		}
		d, err := mapDefine[testOrder, any](with)
		if err != nil {
			return
		}
		results := func(int) []byte { return []byte(input) }
		got, err := d.request(1, []byte(input), results)
		again, err2 := d.request(1, []byte(input), results)
		if string(got) != string(again) || (err == nil) != (err2 == nil) {
			t.Errorf("%s, %v and then %s, %v", got, err, again, err2)
		}
		if err == nil && !json.Valid(got) {
			t.Errorf("not JSON: %s", got)
		}
	})
}

// TestMappingReportsAllAtOnce checks that a mapping that does not compile is still checked as far
// as possible, so that the problems of its other fields are reported too.
func TestMappingReportsAllAtOnce(t *testing.T) {
	type order struct {
		ID    string   `json:"id"`
		Cakes []string `json:"cakes"`
	}
	type bake struct {
		ID    string `json:"id"`
		Count int    `json:"count"`
		Shelf string `json:"shelf"`
	}
	_, err := Define[order]("cake", Retriable("bake", Do(contract.NewCommand[bake, any]("oven", "bake"),
		With(`{"id": input.idd, "count": input.cakes, "extra": 1}`))))
	found, ok := errors.AsType[*DefinitionError](err)
	if !ok || len(found.Problems) != 4 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"undefined field 'idd'; there is cakes, id", "the field extra is not known to the command",
		"the field shelf (string) is missing", "the field count is of type list(string), but the command takes int",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}
