package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// TestRedactedJSON checks that the fields' values are removed at every depth. Nothing else changes,
// not even white space or the format of numbers.
func TestRedactedJSON(t *testing.T) {
	r := newRedaction([]string{"card", "Password"}, nil)
	for in, want := range map[string]string{
		`{"card":"4111"}`:                          `{"card":"[redacted]"}`,
		`{ "a" : 1.50e3 , "CARD" : {"no": 1} }`:    `{ "a" : 1.50e3 , "CARD" : "[redacted]" }`,
		`[{"x":{"password":[1,2]}},{"card":null}]`: `[{"x":{"password":"[redacted]"}},{"card":"[redacted]"}]`,
		`{"\u0063ard":"4111"}`:                     `{"\u0063ard":"[redacted]"}`,
		`{"card":1,"card":2}`:                      `{"card":"[redacted]","card":"[redacted]"}`,
		`"card"`:                                   `"card"`,
		`["card","4111"]`:                          `["card","4111"]`,
		`{"cards":"4111"}`:                         `{"cards":"4111"}`,
		`12345678901234567890`:                     `12345678901234567890`,
		`{"card":"4111"} {"card":"4111"}`:          withheld,
		`{"card":"4111"`:                           withheld,
		`card=4111`:                                withheld,
		strings.Repeat("[", 2000) + `{"card":"4111"}` + strings.Repeat("]", 2000): withheld,
	} {
		p := &apiv1.Payload{Json: in}
		if r.payload(p); p.Json != want {
			t.Errorf("%.60s: %.80s, want %.80s", in, p.Json, want)
		}
	}
	p := &apiv1.Payload{Binary: []byte("card=4111")}
	if r.payload(p); len(p.Binary) > 0 || p.Json != withheld {
		t.Errorf("what is not JSON: %v", p)
	}
}

// TestRedactedJSONIsComplete compares the copier with decoding the whole value.
func TestRedactedJSONIsComplete(t *testing.T) {
	r := newRedaction([]string{"card"}, nil)
	rapid.Check(t, func(t *rapid.T) {
		value := anyJSON(t, 3)
		in, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out, err := r.json(in)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		want, err := json.Marshal(hide(value))
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != string(want) {
			t.Errorf("%s: %s, want %s", in, out, want)
		}
	})
}

func anyJSON(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 3).Draw(t, "kind"); {
	case depth > 0 && kind == 0:
		m := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			m[rapid.SampledFrom([]string{"card", "Card", "x", "y\"", "\\"}).Draw(t, "name")] = anyJSON(t, depth-1)
		}
		return m
	case depth > 0 && kind == 1:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			list = append(list, anyJSON(t, depth-1))
		}
		return list
	case kind == 2:
		return rapid.Float64Range(-1e9, 1e9).Draw(t, "number")
	}
	return rapid.String().Draw(t, "text")
}

func hide(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, value := range v {
			if out[name] = hide(value); strings.EqualFold(name, "card") {
				out[name] = Redacted
			}
		}
		return out
	case []any:
		out := []any{}
		for _, value := range v {
			out = append(out, hide(value))
		}
		return out
	}
	return v
}
