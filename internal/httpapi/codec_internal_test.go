package httpapi

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/amends-dev/amends/internal/canary"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// TestRefusedBodiesAreNotQuoted checks that the error for an invalid body names the field, and does
// not quote the body.
func TestRefusedBodiesAreNotQuoted(t *testing.T) {
	const text, number = "zanzibar41", "4111111111111111"
	for body, want := range map[string]string{
		``:                                "the body is empty; send JSON",
		` `:                               "the body is empty; send JSON",
		`{"input":` + number + text + `}`: "at byte 26 there is an unexpected character",
		`{"input":"` + text + `" "` + text + `"}`:     "there is an unexpected character",
		`{"input":"\x` + text + `"}`:                  "there is an unexpected character",
		`{"timeout":"` + text + `"}`:                  "timeout: is not a duration",
		`{"timeout":"` + number + `s"}`:               "timeout: is not a duration",
		`{"timeout":{"` + text + `":1}}`:              "timeout: is a JSON object; write a string",
		`{"definition":"` + text + `"}`:               "definition: is a JSON string; write an object",
		`{"definition":{"version":"` + text + `"}}`:   "definition.version: is a JSON string; write a whole number",
		`{"definition":{"version":` + number + `.5}}`: "definition.version: is a JSON number; write a whole number",
		`"` + text + `"`:                              "is a JSON string; write an object",
		text:                                          "there is an unexpected character",
		`{"inputBinary":"` + text + `!"}`:             "inputBinary: is not base64",
		`{"id":"a",` + number + `:1}`:                 "there is an unexpected character",
		`{"inputs":"` + text + `"}`:                   `inputs: is unknown; there are id`,
		`{"input_binary":"` + text + `"}`:             `input_binary: is unknown; there are id`,
		`{"definition":{"name":"a"}} "` + text + `"`:  "there is an unexpected character",
		`{"id":"` + text + "\n" + `"}`:                "there is an unexpected character",
		`{"id":"` + text + `","id":"` + text + `"}`:   "a name is repeated",
	} {
		m := &apiv1.RunRequest{}
		if err := (codec{}).Unmarshal([]byte(body), m); err != nil {
			t.Fatal(err)
		}
		err := refusalIn(m)
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

// TestInputsAreInline checks that an input is any JSON value, and that protobuf clients see it byte
// for byte.
func TestInputsAreInline(t *testing.T) {
	for _, input := range []string{`{"order": "A-1", "n": 1.50}`, `[1, 2]`, `"text"`, `12345678901234567890`, `null`, `false`, `"<&>"`} {
		m := &apiv1.StartRequest{}
		if err := (codec{}).Unmarshal([]byte(`{"id":"a","input":`+input+`}`), m); err != nil || m.Input != input {
			t.Errorf("%s: %q, %v", input, m.Input, err)
		}
	}
	m := &apiv1.Payload{Json: `{"n": 1.50, "text": "<&>"}`, SizeBytes: 1 << 40}
	if data, err := (codec{}).Marshal(m); err != nil || string(data) != `{"sizeBytes":1099511627776,"json":{"n":1.50,"text":"<&>"}}` {
		t.Errorf("%s, %v", data, err)
	}
}

// TestEveryMessage checks that every request and response of the service keeps each of its fields in
// JSON.
func TestEveryMessage(t *testing.T) {
	service := apiv1.File_amends_api_v1_api_proto.Services().ByName("CoordinatorService")
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		for _, name := range []protoreflect.FullName{method.Input().FullName(), method.Output().FullName()} {
			found, err := protoregistry.GlobalTypes.FindMessageByName(name)
			if err != nil {
				t.Fatal(err)
			}
			want, got := found.New(), found.New().Interface()
			(&canary.Coordinator{Yes: true, Text: "text"}).Fill(want)
			each(want, func(m proto.Message) {
				if birth := m.ProtoReflect().Descriptor().Fields().ByName("birth"); birth != nil {
					m.ProtoReflect().Set(birth, protoreflect.ValueOfString("hod85snpc0"))
				}
			})
			data, err := codec{}.Marshal(want.Interface())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := (codec{}).Unmarshal(data, got); err != nil || !proto.Equal(got, want.Interface()) {
				t.Errorf("%s: %v, %v; want %v", name, got, err, want)
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
		`{"filter":{"definition":{},"open":true}}`:                  true,
		`{"filter":{"idPrefix":"\u0061","ids":["a"]}}`:              false,
		`{"filter":{"open":true},"decision":{"operation":"pause"}}`: false,
		`{"filter":null}`: false,
		`{}`:              false,
	} {
		for _, request := range []proto.Message{&apiv1.OperateAllRequest{}, &apiv1.OperatePageRequest{}} {
			if err := (codec{}).Unmarshal([]byte(body), request); err != nil {
				t.Fatal(err)
			}
			err := refusalIn(request)
			if (err != nil) != refused || refused && !strings.Contains(err.Error(), "is given and empty") {
				t.Errorf("%T %s: %v, want it refused: %t", request, body, err, refused)
			}
		}
	}
}
