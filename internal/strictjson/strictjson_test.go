package strictjson_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/strictjson"
)

// request has a field of each type that the API's requests have.
type request struct {
	ID      contract.SagaID `json:"id"`
	Limit   int             `json:"limit"`
	From    uint64          `json:"from"`
	Open    bool            `json:"open"`
	Share   float64         `json:"share"`
	Input   json.RawMessage `json:"input"`
	Binary  []byte          `json:"binary"`
	At      time.Time       `json:"at"`
	Before  *time.Time      `json:"before"`
	Timeout *api.Duration   `json:"timeout"`
	Filter  filter          `json:"filter"`
	Next    *filter         `json:"next"`
	Items   []filter        `json:"items"`
}

type filter struct {
	Phases []contract.Phase `json:"phases"`
	Step   string           `json:"step"`
}

// secret is a value that no error may quote.
const secret = "zanzibar41"

// TestErrors checks that an error names the field, says what would be right, and quotes no value.
func TestErrors(t *testing.T) {
	for data, want := range map[string]string{
		`{"id":1}`:                              `id: is a JSON number; write a string`,
		`{"id":{"zanzibar41":"x"}}`:             `id: is a JSON object; write a string`,
		`{"limit":"zanzibar41"}`:                `limit: is a JSON string; write a whole number`,
		`{"limit":1.5}`:                         `limit: is a JSON number; write a whole number`,
		`{"limit":1e3}`:                         `limit: is a JSON number; write a whole number`,
		`{"limit":9223372036854775808}`:         `limit: is a JSON number; write a whole number`,
		`{"from":-1}`:                           `from: is a JSON number; write a whole number from 0`,
		`{"from":"7"}`:                          `from: is a JSON string; write a whole number from 0`,
		`{"open":"true"}`:                       `open: is a JSON string; write true or false`,
		`{"share":true}`:                        `share: is a JSON boolean; write a number`,
		`{"binary":"zanzibar41!"}`:              `binary: is not base64; write`,
		`{"binary":[1]}`:                        `binary: is a JSON array; write a string in base64`,
		`{"at":"zanzibar41"}`:                   `at: is not a time; write a time in RFC 3339, such as "2026-11-30T12:00:00Z"`,
		`{"before":1764503986}`:                 `before: is a JSON number; write a time`,
		`{"timeout":"zanzibar41"}`:              `timeout: is not a duration; write decimal seconds`,
		`{"timeout":30}`:                        `timeout: is a JSON number; write a string`,
		`{"filter":"zanzibar41"}`:               `filter: is a JSON string; write an object`,
		`{"filter":[]}`:                         `filter: is a JSON array; write an object`,
		`{"filter":{"phases":"x"}}`:             `filter.phases: is a JSON string; write a list`,
		`{"filter":{"phases":["a",1]}}`:         `filter.phases[1]: is a JSON number; write a string`,
		`{"filter":{"phases":[null]}}`:          `filter.phases[0]: is a JSON null; write a string`,
		`{"next":{"step":false}}`:               `next.step: is a JSON boolean; write a string`,
		`{"items":[{},{"step":[]}]}`:            `items[1].step: is a JSON array; write a string`,
		`{"phase":"zanzibar41"}`:                `phase: is unknown; there are id, limit, from, open, share, input, binary, at, before, timeout, filter, filter.phases, filter.step, next`,
		`{"filter":{"Step":"zanzibar41"}}`:      `filter.Step: is unknown; there are phases, step`,
		`{"ID":"zanzibar41"}`:                   `ID: is unknown`,
		`{"items":[{"\u017ftep":""}]}`:          `items[0].ſtep: is unknown`,
		`{"":1}`:                                `the request has a field without a name; there are id`,
		`{"` + strings.Repeat("x", 99) + `":1}`: strings.Repeat("x", 61) + `…: is unknown`,
		`{"id":"a","id":"zanzibar41"}`:          `at byte 11 a name is repeated`,
		`{"filter":{"step":"","s\u0074ep":""}}`: `a name is repeated`,
		`{"input":{"a":1,"a":2}}`:               `a name is repeated`,
		`["zanzibar41"]`:                        `the request is a JSON array; write an object`,
		`"zanzibar41"`:                          `is a JSON string; write an object`,
		`null`:                                  `is a JSON null; write an object`,
		"\n":                                    `there is no JSON`,
		`zanzibar41`:                            `at byte 1 there is an unexpected character`,
		`{"id":"a"} "zanzibar41"`:               `at byte 12 there is an unexpected character`,
		`{"id":"zanzibar41`:                     `the JSON ends in the middle`,
		`{"id":"\xzanzibar41"}`:                 `there is an unexpected character`,
		"{\"id\":\"zanzibar41\xff\"}":           `it is not UTF-8`,
		`{"input":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`: `it is nested deeper than`,
	} {
		var into request
		err := strictjson.Decode([]byte(data), &into)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", data, err, want)
			continue
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s is quoted: %v", data, err)
		}
		if field, _, ok := strings.Cut(want, ": "); ok && !strings.Contains(field, " ") {
			if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeInvalidArgument || len(e.Violations) != 1 || e.Violations[0].Field != field {
				t.Errorf("%s: %#v, want a violation of the field %s", data, err, field)
			}
		}
	}
}

// TestDecode checks the values that are accepted.
func TestDecode(t *testing.T) {
	at, half := time.Date(2026, 11, 30, 12, 0, 0, 5e8, time.UTC), api.For(500*time.Millisecond)
	for data, want := range map[string]request{
		``:   {},
		`{}`: {},
		`{"id":null,"limit":null,"at":null,"before":null,"timeout":null,"filter":null,"next":null,"items":null}`: {},
		`{"input":null}`: {Input: json.RawMessage(`null`)},
		`{ "id" : "a\"}" , "limit" : -3 , "from":18446744073709551615,"open" : true,"share":1e-3 ,"input":{"id":[1.50, "]"]} }`: {
			ID: `a"}`, Limit: -3, From: 1<<64 - 1, Open: true, Share: 0.001, Input: json.RawMessage(`{"id":[1.50, "]"]}`),
		},
		`{"\u0069d":"x","binary":"AP8=","at":"2026-11-30T12:00:00.5Z","before":"2026-11-30T12:00:00.5Z","timeout":"0.5s"}`: {
			ID: "x", Binary: []byte{0, 255}, At: at, Before: &at, Timeout: half,
		},
		`{"filter":{"phases":["a","b"],"step":"s"},"next":{},"items":[{"phases":[]},{"step":"x"}]}`: {
			Filter: filter{Phases: []contract.Phase{"a", "b"}, Step: "s"}, Next: &filter{}, Items: []filter{{Phases: []contract.Phase{}}, {Step: "x"}},
		},
	} {
		var got request
		if err := strictjson.Decode([]byte(data), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", data, got, err, want)
		}
	}
}

// TestGiven checks that a request's own check is called.
func TestGiven(t *testing.T) {
	err := strictjson.Decode([]byte(`{"filter":{"open":true,"ids":[]}}`), &api.ListRequest{})
	if e, ok := errors.AsType[*api.Error](err); !ok || len(e.Violations) != 1 || e.Violations[0].Field != "filter.ids" {
		t.Errorf("%v, want a violation of filter.ids", err)
	}
}

// TestEveryRequest checks that the JSON of every value is decoded to the same value, so that no type
// of package api is unsupported.
func TestEveryRequest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := api.RunRequest{
			ID: contract.SagaID(rapid.String().Draw(t, "id")), Definition: contract.DefinitionRef{Name: rapid.String().Draw(t, "name"), Version: rapid.Int().Draw(t, "version")},
			InputBinary: rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "binary"),
			Timeout:     api.For(time.Duration(rapid.Int64Range(1-int64(api.MaxDuration), int64(api.MaxDuration)-1).Draw(t, "timeout"))),
		}
		var got api.RunRequest
		data, err := contract.EncodeJSON(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := strictjson.Decode(data, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", data, got, err)
		}
	})
	for _, one := range []any{
		&api.Saga{}, &api.Event{}, &api.Overview{}, &api.Definition{}, &api.OperatePageRequest{}, &api.PollRequest{}, &api.SubscribeRequest{},
		&api.PurgeDeadLettersRequest{}, &api.ListDeadLettersResponse{}, &api.FindOrphansResponse{}, &api.CompareDefinitionsRequest{},
	} {
		if err := strictjson.Decode([]byte(`{"nothing":0}`), one); err == nil || !strings.Contains(err.Error(), "nothing: is unknown") {
			t.Errorf("%T: %v", one, err)
		}
	}
}
