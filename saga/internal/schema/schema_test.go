package schema

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type (
	embedded struct {
		Promoted string
		Hidden   string `json:"own"`
	}
	behindPointer struct {
		Maybe int `json:"maybe"`
	}
	tagged struct {
		X bool `json:"x"`
	}
	kitchenSink struct {
		embedded
		*behindPointer
		tagged `json:"named"`
		Own    string              `json:"own"`
		S      string              `json:"s"`
		I      int8                `json:"i"`
		U      uint32              `json:"u,omitempty"`
		F      float32             `json:"f,omitzero"`
		B      bool                `json:",omitempty"`
		Bytes  []byte              `json:"bytes"`
		Array  [3]byte             `json:"array"`
		List   []*int              `json:"list"`
		Map    map[int]string      `json:"map"`
		Any    any                 `json:"any"`
		Raw    json.RawMessage     `json:"raw,omitempty"`
		Time   time.Time           `json:"time"`
		Zero   time.Time           `json:"zero,omitempty"` //nolint:modernize // a struct is never empty, and the schema has to know
		Ptr    *time.Time          `json:"ptr"`
		Quoted int64               `json:"quoted,string"`
		Addr   netip.Addr          `json:"addr"`
		Big    *big.Int            `json:"big"`
		Num    json.Number         `json:"num,omitempty"`
		Dash   int                 `json:"-,"` //nolint:staticcheck // SA5008: the name "-" is what is tested
		Stars  int                 `json:"**"`
		What   int                 `json:"what?"`
		Deep   [][]map[string]bool `json:"deep"`
		Nested *struct {
			A int `json:"a"`
		} `json:"nested,omitempty"`
		Self    *kitchenSink `json:"self,omitempty"`
		Ignored chan int     `json:"-"`
		private int
	}
)

func TestFor(t *testing.T) {
	var _ = kitchenSink{private: 1}
	got, err := json.MarshalIndent(For[kitchenSink](), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "***": "int",
 "-": "int",
 "B?": "bool",
 "Promoted": "string",
 "addr": "string",
 "any": "any",
 "array": [
  "int"
 ],
 "big?": "any",
 "bytes": "bytes",
 "deep": [
  [
   {
    "*": "bool"
   }
  ]
 ],
 "f?": "double",
 "i": "int",
 "list": [
  "int?"
 ],
 "map": {
  "*": "string"
 },
 "maybe?": "int",
 "named": {
  "x": "bool"
 },
 "nested?": {
  "a": "int"
 },
 "num?": "any",
 "own": "string",
 "ptr?": "time",
 "quoted": "string",
 "raw?": "any",
 "s": "string",
 "self?": "any",
 "time": "time",
 "u?": "int",
 "what??": "int",
 "zero": "time"
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
}

// TestForSameNames checks that fields with the same name follow encoding/json: the shallowest one
// counts, then the only tagged one, and otherwise none.
func TestForSameNames(t *testing.T) {
	type One struct {
		Tagged  int `json:"x"`
		Nobody  int
		Shallow int
	}
	type Two struct {
		X      string
		Nobody string
	}
	type Three struct {
		Untagged bool
		Two
	}
	type Four struct{ X bool }
	type Five struct {
		Y string `json:"X"`
	}
	check := func(s *Schema, v any) {
		t.Helper()
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(data, &fields); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sortedKeys(fields), sortedKeys(s.Fields)); diff != "" {
			t.Errorf("fields of %s (-encoding/json +schema):\n%s", data, diff)
		}
		if err := s.Accepts(data); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
	type shallow struct {
		One
		Three
		Four
		Shallow string
	}
	type oneTag struct {
		Four
		Five
	}
	type noTag struct {
		Four
		Two
	}
	check(For[shallow](), shallow{})
	check(For[oneTag](), oneTag{})
	check(For[noTag](), noTag{})
}

func TestForWhatIsNotKnown(t *testing.T) {
	for name, s := range map[string]*Schema{
		"any": For[any](), "raw": For[json.RawMessage](), "own JSON": For[big.Int](),
		"error": For[error](), "stringer": For[fmt.Stringer](),
	} {
		if s != nil {
			t.Errorf("%s: %v, want nil", name, s)
		}
	}
	for name, s := range map[string]*Schema{"chan": For[chan int](), "func": For[map[string]func()](),
		"complex": For[[]complex128](), "key": For[map[float64]int]()} {
		if err := s.Check(); err == nil {
			t.Errorf("%s can be described as JSON", name)
		}
	}
}

// TestForIsBounded checks that an infinitely nested type, and a type with millions of fields, stay
// within the limits.
func TestForIsBounded(t *testing.T) {
	type Tree struct {
		Children []Tree           `json:"children"`
		Index    map[string]*Tree `json:"index"`
	}
	if err := For[Tree]().Check(); err != nil {
		t.Error(err)
	}
	type e struct{ A, B, C, D, E, F, G, H, I, J int }
	type d struct{ A, B, C, D, E, F, G, H, I, J e }
	type c struct{ A, B, C, D, E, F, G, H, I, J d }
	type b struct{ A, B, C, D, E, F, G, H, I, J c }
	if err := For[b]().Check(); err != nil {
		t.Error(err)
	}
}

func TestAcceptsWhatEncodingJSONWrites(t *testing.T) {
	type leaf struct {
		S string             `json:"s"`
		N []int64            `json:"n,omitempty"`
		P *float64           `json:"p"`
		M map[string]*string `json:"m"`
		B []byte             `json:"b"`
		O int                `json:"o,omitempty"`
		Q bool               `json:"q,string"`
	}
	type value struct {
		leaf
		L []leaf          `json:"l"`
		X map[string]leaf `json:"x,omitempty"`
		Y *leaf           `json:"y,omitempty"`
		T time.Time       `json:"t"`
		A any             `json:"a"`
		Z *value          `json:"z"`
	}
	s := For[value]()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again Schema
	if err := json.Unmarshal(text, &again); err != nil || !again.Equal(s) {
		t.Fatalf("%s reads back as %v, %v", text, again, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		leaves := rapid.Make[leaf]()
		v := value{
			leaf: leaves.Draw(t, "embedded"),
			L:    rapid.SliceOfN(leaves, 0, 3).Draw(t, "list"),
			X:    rapid.MapOfN(rapid.String(), leaves, 0, 3).Draw(t, "map"),
			Y:    rapid.Ptr(leaves, true).Draw(t, "pointer"),
			T:    time.Unix(rapid.Int64Range(0, 1<<35).Draw(t, "time"), 0),
			A:    rapid.SampledFrom([]any{nil, 1, "x", true, []int{1}}).Draw(t, "any"),
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Accepts(data); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
	})
}

// TestAcceptsTimesOfRFC3339Only checks that every receiver can parse an accepted time.
func TestAcceptsTimesOfRFC3339Only(t *testing.T) {
	type visit struct {
		At time.Time `json:"at"`
	}
	for text, right := range map[string]bool{
		"2026-11-29T01:00:00Z": true, "2026-11-29T01:00:00.123456789123Z": true, "2026-11-29T01:00:00-23:59": true, "0000-01-01T00:00:00Z": true,
		"2026-11-29T1:00:00Z": false, "2026-11-29T01:00:00,5Z": false, "2026-11-29T01:00:00+24:00": false, "2026-11-29T01:00:00+01:60": false,
		"2026-11-29T24:00:00Z": false, "2016-12-31T23:59:60Z": false, "2026-02-29T01:00:00Z": false, "": false,
	} {
		data := []byte(`{"at":"` + text + `"}`)
		if err := For[visit]().Accepts(data); (err == nil) != right {
			t.Errorf("%q: %v, want that it is accepted: %t", text, err, right)
		}
		if err := json.Unmarshal(data, new(visit)); right && err != nil {
			t.Errorf("%q is accepted, and cannot be read: %v", text, err)
		}
	}
}

func TestAcceptsReportsEachPlace(t *testing.T) {
	type line struct {
		SKU      string `json:"sku"`
		Quantity int    `json:"quantity"`
	}
	type address struct {
		City string `json:"city"`
		Zip  string `json:"zip,omitempty"`
	}
	type order struct {
		OrderID  string            `json:"order_id"`
		Customer int64             `json:"customer"`
		Amount   float64           `json:"amount"`
		Lines    []line            `json:"lines"`
		Labels   map[string]string `json:"labels"`
		Placed   time.Time         `json:"placed"`
		Address  *address          `json:"address"`
		Extra    any               `json:"extra"`
	}
	err := For[order]().Accepts([]byte(
		`{"order_id": 1, "customer": 1.5, "amount": "x", "lines": [{"sku": "a"}, null], "labels": {"a": 1}, "placed": "today", "address": {"city": null}, "more": 1}`))
	const want = `address.city is null, want string
amount is a string, want double
customer is not a 64-bit integer written without fraction and exponent
extra is missing
labels[] is a number, want string
lines[0].quantity is missing
lines[1] is null, want object
order_id is a number, want string
placed is a string, but not a time such as 2006-01-02T15:04:05Z`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := For[[]byte]().Accepts([]byte(`"!"`)); err == nil {
		t.Error("bytes need not be base64")
	}
	if err := For[int]().Accepts([]byte(`{`)); err == nil || !strings.HasPrefix(err.Error(), "the data is not JSON") {
		t.Errorf("not JSON: %v", err)
	}
	if err := (*Schema)(nil).Accepts([]byte(`{`)); err != nil {
		t.Errorf("a nil schema: %v", err)
	}
	if err := For[[]int]().Accepts([]byte("[" + strings.Repeat(`"x",`, 1000) + `1]`)); len(err.Error()) > 1000 {
		t.Error("the error is not bounded")
	}
}

func TestJSONForm(t *testing.T) {
	for _, test := range []struct{ text, canonical string }{
		{`"any"`, `"any"`},
		{`"string?"`, `"string?"`},
		{`["int?"]`, `["int?"]`},
		{`[{"?": {"a": "int"}}]`, `[{"?":{"a":"int"}}]`},
		{`{"?": "int"}`, `"int?"`},
		{`{"a": "int?"}`, `{"a?":"int"}`},
		{`{"a?": "int?"}`, `{"a?":"int"}`},
		{`{}`, `{}`},
		{`{"*": {"*": "bool"}}`, `{"*":{"*":"bool"}}`},
		{`{"**": "bool", "a": "int"}`, `{"**":"bool","a":"int"}`},
		{`{"a??": "int", "b???": "int"}`, `{"a??":"int","b???":"int"}`},
		{`{"true": "bool", "<&>": "int"}`, `{"<&>":"int","true":"bool"}`},
	} {
		var s Schema
		if err := json.Unmarshal([]byte(test.text), &s); err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		got, err := s.MarshalJSON()
		if err != nil || string(got) != test.canonical {
			t.Errorf("%s becomes %s, %v, want %s", test.text, got, err, test.canonical)
		}
	}
	for _, test := range []struct{ text, want string }{
		{`"strng"`, `schema: "strng" is not a kind of value; write one of any, string, int, double, bool, time, bytes, or an object or list of them`},
		{`{"a": {"b": "object"}}`, `schema at .a.b: "object" is not a kind of value`},
		{`[]`, `schema: a list is written with one item, such as ["string"], not with 0`},
		{`["int", "int"]`, `not with 2`},
		{`{"a": 1}`, `schema at .a: 1 is not a kind of value`},
		{`{"a": null}`, `schema at .a: <nil> is not a kind of value`},
		{`{"*": "int", "a": "int"}`, `"*" and "?" must be the only field`},
		{`{"?": "int", "a": "int"}`, `"*" and "?" must be the only field`},
		{`{"a": "int", "a?": "int"}`, `the field "a" is given twice; keep one`},
		{strings.Repeat("[", 40) + `"int"` + strings.Repeat("]", 40), "schema is nested deeper than 32"},
	} {
		var s Schema
		if err := json.Unmarshal([]byte(test.text), &s); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.text, err, test.want)
		}
	}
}

// TestFieldKeysAreTheirOwn checks that every field name has a unique key.
func TestFieldKeysAreTheirOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a*?]{1,5}`).Draw(t, "name")
		optional := rapid.Bool().Draw(t, "optional")
		key := fieldKey(name, optional)
		if key == "*" || key == "?" {
			t.Fatalf("%q is written %q, which means something else", name, key)
		}
		if got, opt := fieldName(key); got != name || opt != optional {
			t.Fatalf("%q, %v is written %q and read %q, %v", name, optional, key, got, opt)
		}
	})
}

func TestAcceptsBase64Only(t *testing.T) {
	type visit struct {
		Photo []byte `json:"photo"`
	}
	for text, right := range map[string]bool{
		"": true, "AAAA": true, "AA==": true, "AAA=": true,
		`AA\n==`: false, `AAAA\r\n`: false, "AA": false, "AA=": false, "AB==": false, "A_-A": false,
	} {
		if err := For[visit]().Accepts([]byte(`{"photo":"` + text + `"}`)); (err == nil) != right {
			t.Errorf("%q: %v, want that it is accepted: %t", text, err, right)
		}
	}
}
