package participant

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/transport"
)

type order struct {
	ID       string    `json:"id"`
	Quantity int       `json:"quantity"`
	Due      time.Time `json:"due,omitzero"`
	Skipped  string    `json:"-"`
}

type token []byte

func TestDecode(t *testing.T) {
	json42 := body{data: []byte(` {"id":"a","quantity":42,"colour":"unknown fields are ignored"} `)}
	decodes(t, json42, order{ID: "a", Quantity: 42})
	decodes(t, json42, &order{ID: "a", Quantity: 42})
	decodes(t, body{"application/vnd.acme+json; charset=utf-8", []byte(`"x"`)}, "x")
	decodes(t, json42, json42.data)
	decodes(t, json42, token(json42.data))
	decodes(t, json42, json.RawMessage(strings.TrimSpace(string(json42.data))))
	decodes(t, body{"text/plain", []byte("any\xff")}, []byte("any\xff"))
	decodes(t, body{"text/plain", []byte("any")}, json.RawMessage("any"))
	decodes(t, body{data: []byte(`"YW55/w=="`)}, []byte("any\xff")) // the encoding of bytes in an undo
	decodes(t, body{}, struct{}{})
	decodes(t, body{data: []byte("null")}, struct{}{})
	decodes(t, body{}, (*order)(nil))
	decodes(t, body{}, map[string]int(nil))
}

func decodes[T any](t *testing.T, b body, want T) {
	t.Helper()
	got, err := decode[T]("request", b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decode %q %q as %T: %v, %v; expected %v", b.contentType, b.data, want, got, err, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	const shape = `participant.order {"id": string, "quantity": int, "due": time.Time}`
	refuses[order](t, body{}, "empty", shape)
	refuses[order](t, body{data: []byte("null")}, "empty", shape)
	refuses[order](t, body{data: []byte(`{"id":1}`)}, "not JSON like", shape)
	refuses[*order](t, body{data: []byte(`[]`)}, "not JSON like", shape)
	refuses[order](t, body{data: []byte(`{"id":"a"} {}`)}, "not JSON like")
	refuses[order](t, body{"text/plain", []byte(`{"id":"a"}`)}, "text/plain", "application/json")
	refuses[time.Time](t, body{data: []byte(`"yesterday"`)}, "time.Time")
	refuses[json.RawMessage](t, body{data: []byte(`{`)}, "RawMessage")
	refuses[[]byte](t, body{data: []byte(`"not base64!"`)}, "uint8")
}

// TestMistypedFieldIsNamed checks that the error names the fields on the way to a wrong value, up to the
// first map, with every version of encoding/json.
func TestMistypedFieldIsNamed(t *testing.T) {
	type Base struct {
		Weight int `json:"weight"`
	}
	type item struct {
		Base
		Count int8 `json:"count"`
		Plain bool
	}
	type request struct {
		Item   *item            `json:"item"`
		Items  [][]item         `json:"items"`
		ByName map[string]item  `json:"by_name"`
		Maps   []map[string]int `json:"maps"`
	}
	for data, want := range map[string]string{
		`{"item":{"count":"x"}}`:                "in item.count does",
		`{"item":{"Plain":1}}`:                  "in item.Plain does",
		`{"item":{"weight":"x"}}`:               "weight does",
		`{"items":[[{},{"count":1000}]]}`:       "in items.count does",
		`{"by_name":{"zanzibar":{"count":""}}}`: "in by_name does",
		`{"maps":[{},{"zanzibar":1.5}]}`:        "in maps does",
		`[]`:                                    "a JSON array does",
	} {
		refuses[request](t, body{data: []byte(data)}, want)
	}
}

func refuses[T any](t *testing.T, b body, wants ...string) {
	t.Helper()
	_, err := decode[T]("request", b)
	for _, want := range append(wants, "request") {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("decode %q: the error does not say %q: %v", b.data, want, err)
		}
	}
}

// TestUndecodableDataIsNotQuoted: the error for undecodable data becomes a reason. More people see
// the reason than the data, so it must not quote the data.
func TestUndecodableDataIsNotQuoted(t *testing.T) {
	type inner struct {
		Small int8           `json:"small"`
		At    time.Time      `json:"at"`
		Text  string         `json:"text"`
		Map   map[string]int `json:"map"`
		Data  []byte         `json:"data"`
		List  []uint16       `json:"list"`
	}
	const text, number = "zanzibar41", "4111111111111111"
	for _, data := range []string{
		`{"small":` + number + `}`, `{"small":` + number + `.5}`, `{"list":[1,` + number + `]}`, `{"at":"` + text + `"}`, `{"at":` + number + `}`,
		`{"text":` + number + `}`, `{"map":{"` + text + `":"x"}}`, `{"map":{"` + text + `":` + number + `111111}}`, `{"data":"` + text + `!"}`,
		text, number, `"` + text + `"`, `{"text":"` + text, `{"` + text + `"}`, `{"text":"` + text + "\x01" + `"}`, `[{"` + text + `":1}]`,
	} {
		_, err := decode[inner]("request", body{data: []byte(data)})
		if err == nil {
			t.Errorf("%s is decoded", data)
			continue
		}
		_, undo := parseUndo([]byte(data))
		for _, told := range []string{err.Error(), fmt.Sprint(undo)} {
			if strings.Contains(told, text) || strings.Contains(told, number) {
				t.Errorf("%s is quoted: %s", data, told)
			}
		}
	}
}

func TestEncode(t *testing.T) {
	if data, err := encode(token("any\xff")); err != nil || string(data) != "any\xff" || contentTypeOf[token]() != octets {
		t.Errorf("bytes: %q, %v", data, err)
	}
	if data, err := encode(json.RawMessage(` {"b": 1} `)); err != nil || string(data) != ` {"b": 1} ` || contentTypeOf[json.RawMessage]() != transport.JSON {
		t.Errorf("raw JSON: %q, %v", data, err)
	}
	if data, err := encode(json.RawMessage(nil)); err != nil || string(data) != "null" {
		t.Errorf("no raw JSON: %q, %v", data, err)
	}
	for name, err := range map[string]error{
		"valid JSON": second(encode(json.RawMessage("{"))),
		"MaxResult":  second(encode(make([]byte, MaxResult+1))),
		"encode":     second(encode(make(chan int))),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not say %q: %v", name, err)
		}
	}
}

// TestResultsThatAreKept: the participant refuses a result that the coordinator would refuse,
// because before the commit the handler's writes can still be rolled back. The coordinator measures
// JSON as sent, and bytes as base64 with two quotes (I12).
func TestResultsThatAreKept(t *testing.T) {
	const most = 256 << 10
	deep := func(n int) json.RawMessage { return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	for name, err := range map[string]error{
		"bytes":        second(encode(make([]byte, (most-2)/4*3))),
		"named bytes":  second(encode(make(token, (most-2)/4*3))),
		"text":         second(encode(strings.Repeat("<&>", (most-2)/3))),
		"raw":          second(encode(json.RawMessage(`"` + strings.Repeat("<", most-2) + `"`))),
		"deep":         second(encode(deep(120))),
		"a pair":       second(encode(json.RawMessage(`"\ud83d\ude00"`))),
		"same in twos": second(encode(json.RawMessage(`[{"a":1},{"a":1}]`))),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"bytes":             second(encode(make([]byte, (most-2)/4*3+1))),
		"named bytes":       second(encode(make(token, (most-2)/4*3+1))),
		"text":              second(encode(strings.Repeat("<", most-1))),
		"raw":               second(encode(json.RawMessage(`"` + strings.Repeat("<", most-1) + `"`))),
		"deep":              second(encode(deep(121))),
		"deep within":       second(encode(struct{ A []json.RawMessage }{[]json.RawMessage{deep(119)}})),
		"half a pair":       second(encode(json.RawMessage(`"\ud800"`))),
		"a name twice":      second(encode(struct{ A any }{json.RawMessage(`{"a":1,"a":2}`)})),
		"no UTF-8":          second(encode(json.RawMessage("\"caf\xe9\""))),
		"no JSON":           second(encode(json.RawMessage("{"))),
		"a marshaler's own": second(encode(latin{})),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "bad-result: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// latin is a type whose encoding is Latin-1 instead of UTF-8.
type latin struct{}

func (latin) MarshalJSON() ([]byte, error) { return []byte("\"caf\xe9\""), nil }

func second[T any](_ T, err error) error { return err }

// TestParseUndo: the parts of an undo do not change by encoding and decoding.
func TestParseUndo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := order{ID: rapid.String().Draw(t, "id"), Quantity: rapid.Int().Draw(t, "quantity")}
		request, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		result := rapid.SampledFrom([]string{"", "null", " null ", `{"id":"r"}`}).Draw(t, "result")
		wire := `{"request":` + string(request) + `}`
		if result != "" {
			wire = `{"result":` + result + `,"request":` + string(request) + `,"later":true}`
		}
		in, err := parseUndo([]byte(wire))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decode[order]("request", in.request); err != nil || got != want {
			t.Fatalf("%+v, %v", got, err)
		}
		if in.resultKnown() != strings.Contains(result, "r") {
			t.Fatalf("result %q is known: %v", result, in.resultKnown())
		}
	})
	for _, wrong := range []string{"", "null x", "[]", `"x"`, "{"} {
		if _, err := parseUndo([]byte(wrong)); err == nil || !strings.Contains(err.Error(), `"request"`) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestCleanReason(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOfN(rapid.Byte(), 0, 3*MaxReason).Draw(t, "reason")) + rapid.String().Draw(t, "text")
		got := cleanReason(s)
		if len(got) > MaxReason || strings.ContainsRune(got, 0) || got != strings.ToValidUTF8(got, "?") {
			t.Fatalf("%d bytes: %q", len(got), got)
		}
	})
	if got := cleanReason("card declined"); got != "card declined" {
		t.Errorf("a good reason was changed: %q", got)
	}
}
