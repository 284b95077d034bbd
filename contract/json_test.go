package contract_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/amends-dev/amends/contract"
)

func deep(n int, open, inner, end string) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
}

// TestCheckJSON checks that CheckJSON accepts exactly the data that docs/WIRE.md calls valid (I12).
// Errors must give the position and quote no data.
func TestCheckJSON(t *testing.T) {
	var many, manyTwice strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, `"n%d":%d,`, i, i)
	}
	manyTwice.WriteString(many.String())
	for _, valid := range []string{
		`null`, ` {"a":1} ` + "\n", `[]`, `""`, `0`, `-1.50e+10`, `12345678901234567.89`, `"ä€😀"`, `"<&>"`, `"\u0000\ud83d\ude00\uD83D\uDE00\\ud800"`, `"\"\\\/\b\f\n\r\t"`,
		`{"a":{"a":[{"a":1},{"a":2}]},"b":{"a":1}}`, `{"":0," ":1}`, `{"a":"a","A":"a"}`, `[",",":","{","}","\"a\":1,\"a\":2"]`,
		`{"a":[1,2,"a","a"],"b":"a"}`, `{` + many.String() + `"last":1}`, "\"\u2028\u2029\ufffd\x7f\"",
		deep(120, `[`, `1`, `]`), deep(120, `{"a":`, `1`, `}`), deep(60, `{"a":[`, `1`, `]}`), `[` + deep(119, `[`, ``, `]`) + `,` + deep(119, `[`, ``, `]`) + `]`,
	} {
		if err := contract.CheckJSON([]byte(valid)); err != nil {
			t.Errorf("%.60q: %v", valid, err)
		}
	}
	if err := contract.CheckJSON([]byte(" \n")); err == nil || err.Error() != "at byte 1 there is no JSON; write null for an empty value" {
		t.Errorf("white space: %v", err)
	}
	for invalid, want := range map[string]string{
		"":                                       "at byte 1 there is no JSON; write null for an empty value",
		`{"a":`:                                  "at byte 6 the JSON ends in the middle",
		`"a`:                                     "at byte 3 the JSON ends in the middle",
		`{'a':1}`:                                "at byte 2 there is an unexpected character",
		`{"a":1}x`:                               "at byte 8 there is an unexpected character",
		`01`:                                     "at byte 2 there is an unexpected character",
		`NaN`:                                    "at byte 1 there is",
		"\"a\nb\"":                               "at byte 3 there is",
		"\ufeff{}":                               "at byte 1 there is",
		"\"caf\xe9\"":                            "at byte 5 it is not UTF-8",
		"{\"\xff\":1}":                           "at byte 3 it is not UTF-8",
		"\"\xed\xa0\x80\"":                       "at byte 2 it is not UTF-8",
		"\"\xc0\x80\"":                           "at byte 2 it is not UTF-8",
		`["ok","\ud800"]`:                        "at byte 8 an escape is half of a surrogate pair",
		`"\uDFFF"`:                               "at byte 2 an escape is half",
		`"\ud83d\u0041"`:                         "at byte 2 an escape is half",
		`"\ude00\ud83d"`:                         "at byte 2 an escape is half",
		`"\ud83dx\ude00"`:                        "at byte 2 an escape is half",
		`{"\ud800":1}`:                           "at byte 3 an escape is half",
		`{"a":1,"a":1}`:                          "at byte 8 a name is repeated",
		`{"a":1,"b":2,"\u0061":3}`:               "at byte 14 a name is repeated",
		`{"\u0061":1,"a":1}`:                     "at byte 13 a name is repeated",
		`[{"a":[{"x":{},"y":1,"x":{}}]}]`:        "at byte 22 a name is repeated",
		`{"a":{"b":1},"a":2}`:                    "at byte 14 a name is repeated",
		`{` + manyTwice.String() + `"n999":1}`:   "a name is repeated",
		`{` + many.String() + `"n\u0030":1}`:     "a name is repeated",
		deep(121, `[`, ``, `]`):                  "at byte 121 it is nested deeper than 120",
		deep(121, `{"a":`, `1`, `}`):             "nested deeper than 120",
		deep(20_000, `[`, ``, `]`):               "nested deeper than 120",
		`[` + deep(120, `{"a":`, `1`, `}`) + `]`: "nested deeper than 120",
	} {
		err := contract.CheckJSON([]byte(invalid))
		if e, ok := errors.AsType[*contract.JSONError](err); !ok || !strings.Contains(err.Error(), want) || len(err.Error()) > 150 || e.At < 0 {
			t.Errorf("%.60q: %v, want %q", invalid, err, want)
		}
	}
}

var escape = regexp.MustCompile(`\\(u[0-9a-fA-F]{4}|.)|[^\\]+`)

// wellPaired reports whether all surrogate escapes in valid JSON are paired.
func wellPaired(data []byte) bool {
	var units []uint16
	for _, part := range escape.FindAllString(string(data), -1) {
		unit := uint64('x')
		if strings.HasPrefix(part, `\u`) {
			unit, _ = strconv.ParseUint(part[2:], 16, 16)
		}
		units = append(units, uint16(unit))
	}
	for i, r := range utf16.Decode(units) {
		if r == utf8.RuneError && !slices.Contains(units, 0xfffd) && i >= 0 {
			return false
		}
	}
	return true
}

// plainlyRead reads JSON token by token, as many programs do. It returns the depth, and whether an
// object has a duplicate name.
func plainlyRead(t *testing.T, data []byte) (depth int, twice bool) {
	type scope struct {
		names map[string]bool // nil for an array
		value bool            // whether a value comes next
	}
	var open []*scope
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			if decoder.More() {
				t.Fatalf("%.99q: %v", data, err)
			}
			return depth, twice
		}
		var top *scope
		if len(open) > 0 {
			top = open[len(open)-1]
		}
		if name, ok := token.(string); ok && top != nil && top.names != nil && !top.value {
			twice = twice || top.names[name]
			top.names[name], top.value = true, true
			continue
		}
		switch token {
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			continue
		}
		if top != nil {
			top.value = false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, &scope{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, &scope{})
		}
		depth = max(depth, len(open))
	}
}

// FuzzCheckJSON checks that CheckJSON accepts exactly what a simple reader with the same rules
// accepts.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"a":2}`, `"\ud800"`, `"\ud83d\ude00"`, "\"\xe9\"", deep(121, `[`, ``, `]`), deep(120, `{"":`, `0`, `}`), `{"a":[{"b":1},{"b":2}],"\u0061":0}`, `[1,"a",{"a":"a"}]`, `{`, ``, `"\\ud800"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := contract.CheckJSON(data)
		want := utf8.Valid(data) && json.Valid(data)
		if want && bytes.Contains(data, []byte(`\u`)) && !bytes.Contains(bytes.ToLower(data), []byte(`\ufffd`)) {
			want = wellPaired(data)
		} else if want && bytes.Contains(bytes.ToLower(data), []byte(`\ufffd`)) {
			return // the simple reader cannot decide this case
		}
		if want {
			depth, twice := plainlyRead(t, data)
			want = depth <= 120 && !twice
		}
		if (err == nil) != want {
			t.Fatalf("%.300q: %v, want accepted %t", data, err, want)
		}
		if err == nil {
			again, err := contract.EncodeJSON(json.RawMessage(data))
			if err != nil || contract.CheckJSON(again) != nil || len(again) > len(data) {
				t.Fatalf("%.300q is written as %.300q, %v", data, again, err)
			}
		}
	})
}

// TestEncodeJSON checks that values are encoded without unnecessary escapes.
func TestEncodeJSON(t *testing.T) {
	text := `<script>a && b</script>`
	for _, v := range []any{text, json.RawMessage(`"` + text + `"`), struct{ A any }{text}, map[string]any{text: []string{text}}} {
		data, err := contract.EncodeJSON(v)
		if err != nil || bytes.Contains(data, []byte(`\u`)) || !bytes.Contains(data, []byte(text)) || bytes.HasSuffix(data, []byte("\n")) {
			t.Errorf("%s, %v", data, err)
		}
	}
	for _, kept := range []string{`"<"`, `">"`, `"&"`, "\"\u2028\"", "\"\u2029\"", "\"\x7f\u0085\u202e\ufeff\"", `"\u003c\u2028"`} {
		if data, err := contract.EncodeJSON(json.RawMessage(kept)); err != nil || string(data) != kept {
			t.Errorf("%s is written as %s, %v", kept, data, err)
		}
	}
	if _, err := contract.EncodeJSON(func() {}); err == nil {
		t.Error("a function is written")
	}
}

func TestIsJSON(t *testing.T) {
	for of, want := range map[string]bool{
		"": true, "application/json": true, "Application/JSON; charset=utf-8": true, "application/problem+json": true, "application/vnd.a.v1+json;x=y": true,
		"text/plain": false, "application/octet-stream": false, "application/jsonl": false, "text/json-ish": false,
	} {
		if contract.IsJSON(of) != want {
			t.Errorf("%q: %t", of, !want)
		}
	}
}
