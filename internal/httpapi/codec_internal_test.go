package api

import (
	"strings"
	"testing"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// TestRefusedBodiesAreNotQuoted checks that an input that is a JSON value, and not a string that
// holds JSON, is refused. The error does not quote it.
func TestRefusedBodiesAreNotQuoted(t *testing.T) {
	const text, number = "zanzibar41", "4111111111111111"
	for body, want := range map[string]string{
		`{"input":` + number + `}`:                                       "(line 1:10): invalid value for string field input",
		`{"input":{"` + text + `":"` + text + `"}}`:                      "invalid value for string field input",
		`{"input":["` + text + `"]}`:                                     "invalid value for string field input",
		`{"input":` + number + text + `}`:                                "syntax error (line 1:10): invalid value",
		`{"input":"` + text + `" "` + text + `"}`:                        `unexpected token`,
		`{"input":"\x` + text + `"}`:                                     "invalid escape code",
		`{"at_most":"` + text + `"}`:                                     "invalid google.protobuf.Duration value",
		`{"at_most":"` + number + `s"}`:                                  "google.protobuf.Duration value out of range",
		`{"definition":"` + text + `"}`:                                  "unexpected token",
		`{"definition":{"version":"` + text + `"}}`:                      "invalid value for int64 field version",
		`"` + text + `"`:                                                 "unexpected token",
		text:                                                             "invalid value",
		`{"input_binary":"` + text + `!"}`:                               "invalid value for bytes field inputBinary",
		`{"id":"a",` + number + `:1}`:                                    "unexpected token",
		`{"inputs":"` + text + `"}`:                                      `unknown field "inputs"; there are id`,
		`{"definition":{"name":"a"}}` + text:                             "invalid value",
		`{"definition":{"name":"a"}} "` + text + `"`:                     "unexpected token",
		`{"id":"` + text + "\n" + `"}`:                                   "invalid character",
		`{"at_most":{"` + text + `":1}}`:                                 "unexpected token",
		`{"at_most":"` + strings.Repeat(number, 20) + `.` + text + `s"}`: "invalid google.protobuf.Duration value",
	} {
		err := codec{}.Unmarshal([]byte(body), &apiv1.StartRequest{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
			continue
		}
		for _, part := range []string{text[:8], number[:8]} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s is quoted: %v", body, err)
			}
		}
	}
}

// TestEmptyFieldsDoNotWiden checks that a field that is present but empty in the filter of a bulk
// operation is refused, because it would not filter.
func TestEmptyFieldsDoNotWiden(t *testing.T) {
	for body, refused := range map[string]bool{
		`{"filter":{"ids":[],"definition":{"name":"x"}}}`:           true,
		`{"filter":{"phases": [ ] ,"open":true}}`:                   true,
		`{"filter":{"step":"","open":true}}`:                        true,
		`{"filter":{"idPrefix":"","open":true}}`:                    true,
		`{"filter":{"id_prefix":"\u0061","ids":["a"]}}`:             false,
		`{"filter":{"open":true},"decision":{"operation":"pause"}}`: false,
		`{"filter":null}`: false,
		`{}`:              false,
	} {
		err := codec{}.Unmarshal([]byte(body), &apiv1.OperateAllRequest{})
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "is given and empty") {
			t.Errorf("%s: %v, want it refused: %t", body, err, refused)
		}
	}
}
