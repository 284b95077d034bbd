package mapping

import (
	"testing"

	"github.com/amends-dev/amends/saga/internal/schema"
)

// TestNullIsMissing checks that has() and ? treat null as missing, with and without a schema for
// the value.
func TestNullIsMissing(t *testing.T) {
	text := &schema.Schema{Kind: schema.String, Optional: true}
	address := &schema.Schema{Kind: schema.Object, Optional: true, Fields: map[string]*schema.Schema{"zip": text}}
	input := &schema.Schema{Kind: schema.Object, Fields: map[string]*schema.Schema{
		"note": text, "any": {Kind: schema.Any, Optional: true}, "address": address,
		"labels": {Kind: schema.Map, Items: text, Optional: true}, "lines": {Kind: schema.List, Items: text, Optional: true},
	}}
	const fails = "fails"
	for _, test := range []struct {
		with string
		want map[string]string // by the content of the input
	}{
		{`has(input.note)`, map[string]string{`{}`: `false`, `{"note":null}`: `false`, `{"note":""}`: `true`}},
		{`has(input.any)`, map[string]string{`{}`: `false`, `{"any":null}`: `false`, `{"any":false}`: `true`}},
		{`has(input.lines)`, map[string]string{`{}`: `false`, `{"lines":null}`: `false`, `{"lines":[]}`: `true`}},
		{`has(dyn(input).note)`, map[string]string{`{}`: `false`, `{"note":null}`: `false`, `{"note":"n"}`: `true`}},
		{`has(input.note) ? input.note : "-"`, map[string]string{`{}`: `"-"`, `{"note":null}`: `"-"`, `{"note":"n"}`: `"n"`}},
		{`input.?note.orValue("-")`, map[string]string{`{}`: `"-"`, `{"note":null}`: `"-"`, `{"note":"n"}`: `"n"`}},
		{`input.?any.hasValue()`, map[string]string{`{}`: `false`, `{"any":null}`: `false`, `{"any":[null]}`: `true`}},
		{`dyn(input).?note.orValue("-")`, map[string]string{`{}`: `"-"`, `{"note":null}`: `"-"`, `{"note":"n"}`: `"n"`}},
		{`{?"note": input.?note}`, map[string]string{`{}`: `{}`, `{"note":null}`: `{}`, `{"note":"n"}`: `{"note":"n"}`}},
		{`[?input.?note, ?input.?any]`, map[string]string{`{}`: `[]`, `{"note":null,"any":null}`: `[]`, `{"note":"n","any":1}`: `["n",1]`}},
		{`input.?note.optMap(n, n + "!").orValue("-")`, map[string]string{`{}`: `"-"`, `{"note":null}`: `"-"`, `{"note":"n"}`: `"n!"`}},
		{`has(input.address) && has(input.address.zip)`, map[string]string{
			`{}`: `false`, `{"address":null}`: `false`, `{"address":{}}`: `false`, `{"address":{"zip":null}}`: `false`, `{"address":{"zip":"1"}}`: `true`}},
		{`input.?address.?zip.orValue("-")`, map[string]string{
			`{}`: `"-"`, `{"address":null}`: `"-"`, `{"address":{}}`: `"-"`, `{"address":{"zip":null}}`: `"-"`, `{"address":{"zip":"1"}}`: `"1"`}},
		{`input.?address.zip.orValue("-")`, map[string]string{
			`{}`: `"-"`, `{"address":null}`: `"-"`, `{"address":{}}`: `"-"`, `{"address":{"zip":null}}`: `"-"`, `{"address":{"zip":"1"}}`: `"1"`}},
		{`has(input.?address.zip)`, map[string]string{
			`{}`: `false`, `{"address":null}`: `false`, `{"address":{}}`: `false`, `{"address":{"zip":null}}`: `false`, `{"address":{"zip":"1"}}`: `true`}},
		{`has(dyn(input).address.zip)`, map[string]string{
			`{}`: fails, `{"address":null}`: fails, `{"address":{}}`: `false`, `{"address":{"zip":null}}`: `false`, `{"address":{"zip":"1"}}`: `true`}},
		{`dyn(input).address.?zip.orValue("-")`, map[string]string{
			`{}`: fails, `{"address":null}`: fails, `{"address":{}}`: `"-"`, `{"address":{"zip":null}}`: `"-"`, `{"address":{"zip":"1"}}`: `"1"`}},
		{`input.?labels[?"a"].orValue("-")`, map[string]string{
			`{}`: `"-"`, `{"labels":null}`: `"-"`, `{"labels":{}}`: `"-"`, `{"labels":{"a":null}}`: `"-"`, `{"labels":{"a":"l"}}`: `"l"`}},
		{`has(input.labels) && has(input.labels.a)`, map[string]string{
			`{}`: `false`, `{"labels":null}`: `false`, `{"labels":{}}`: `false`, `{"labels":{"a":null}}`: `false`, `{"labels":{"a":"l"}}`: `true`}},
		{`input.?lines[?0].orValue("-")`, map[string]string{
			`{}`: `"-"`, `{"lines":null}`: `"-"`, `{"lines":[]}`: `"-"`, `{"lines":[null]}`: `"-"`, `{"lines":["l"]}`: `"l"`}},
		{`has(result.step_one)`, map[string]string{``: `false`, `null`: `false`, `{}`: `true`}},
		{`result.?step_one.?note.orValue("-")`, map[string]string{``: `"-"`, `null`: `"-"`, `{}`: `"-"`, `{"note":null}`: `"-"`, `{"note":"n"}`: `"n"`}},
	} {
		for name, input := range map[string]*schema.Schema{"a schema": input, "none": nil} {
			mapped, err := second(input, test.with)
			if err != nil {
				t.Errorf("%s, %s: %v", test.with, name, err)
				continue
			}
			for data, want := range test.want {
				whole := data
				if whole == "" || whole == "null" {
					whole = "{}"
				}
				got, err := mapped.Make([]byte(whole), func(int) []byte { return []byte(data) })
				if err != nil && want != fails || err == nil && string(got) != want {
					t.Errorf("%s of %s with %s: %s, %v, want %s", test.with, data, name, got, err, want)
				}
			}
		}
	}
	// Null counts as missing in a map that the expression creates, too.
	mapped, err := second(nil, `[has({"a": null}.a), {"a": null}.?a.hasValue(), [null][?0].hasValue(), optional.of(null).hasValue(), "a" in {"a": null}]`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := mapped.Make(nil, nil); err != nil || string(got) != `[false,false,false,true,true]` {
		t.Errorf("%s, %v", got, err)
	}
}
