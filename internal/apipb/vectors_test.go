package apipb_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/amends-dev/amends/internal/apipb"
	"github.com/amends-dev/amends/internal/wiretest"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

func vectors(t *testing.T) []wiretest.Vector {
	t.Helper()
	all, err := wiretest.Vectors()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestVectors checks the vectors that docs/WIRE.md describes: JSON and protobuf are encodings of the
// same message, and invalid JSON is refused (I8, I9). Programs in other languages check the same file,
// in test/python and test/javascript.
func TestVectors(t *testing.T) {
	notes := map[string]bool{}
	for _, v := range vectors(t) {
		if notes[v.String()] {
			t.Errorf("two vectors are called %q", v.String())
		}
		notes[v.String()] = true
		t.Run(v.String(), func(t *testing.T) {
			if v.Error != "" {
				err := apipb.DecodeJSON([]byte(v.Text), blank(t, v.Message))
				if err == nil || !strings.Contains(err.Error(), v.Error) {
					t.Errorf("%s: %v, want an error with %q", v.Text, err, v.Error)
				}
				return
			}
			checkVector(t, &v)
		})
	}
}

func checkVector(t *testing.T, v *wiretest.Vector) {
	t.Helper()
	want := blank(t, v.Message)
	if err := proto.Unmarshal(v.Protobuf, want); err != nil {
		t.Fatal(err)
	}
	var written bytes.Buffer
	if err := json.Compact(&written, v.JSON); err != nil {
		t.Fatal(err)
	}
	if got, err := apipb.EncodeJSON(want); err != nil || string(got) != written.String() {
		t.Errorf("the protobuf is\n%s\nin JSON (%v), want\n%s", got, err, &written)
	}
	for _, text := range append([]string{written.String()}, v.Also...) {
		got := blank(t, v.Message)
		if err := apipb.DecodeJSON([]byte(text), got); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(got)
		if err != nil || !bytes.Equal(data, v.Protobuf) {
			t.Errorf("%s\nis %s in protobuf (%v), want %s", text, base64.StdEncoding.EncodeToString(data), err, base64.StdEncoding.EncodeToString(v.Protobuf))
		}
	}
}

// blank returns an empty message of the API.
func blank(t *testing.T, name string) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(apiv1.File_amends_api_v1_api_proto.Package().Append(protoreflect.Name(name)))
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

// TestVectorsAreComplete checks that the vectors contain every message of the API, and every field
// with a value.
func TestVectorsAreComplete(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var visit func(m protoreflect.Message)
	visit = func(m protoreflect.Message) {
		seen[m.Descriptor().FullName()] = true
		m.Range(func(f protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			seen[f.FullName()] = true
			switch {
			case f.Message() == nil:
			case f.IsList():
				for i := range value.List().Len() {
					visit(value.List().Get(i).Message())
				}
			default:
				visit(value.Message())
			}
			return true
		})
	}
	for _, v := range vectors(t) {
		if v.Error != "" {
			continue
		}
		m := blank(t, v.Message)
		if err := proto.Unmarshal(v.Protobuf, m); err != nil {
			t.Fatalf("%s: %v", v.String(), err)
		}
		visit(m.ProtoReflect())
	}
	messages := apiv1.File_amends_api_v1_api_proto.Messages()
	for i := range messages.Len() {
		m := messages.Get(i)
		if !seen[m.FullName()] {
			t.Errorf("no vector contains %s", m.Name())
		}
		for j := range m.Fields().Len() {
			if f := m.Fields().Get(j); !seen[f.FullName()] {
				t.Errorf("no vector contains %s.%s", m.Name(), f.Name())
			}
		}
	}
}

var jsonBlock = regexp.MustCompile("(?s)```json\n(.*?)```")

// TestPageShowsVectors checks that the vectors that docs/WIRE.md shows are in the file.
func TestPageShowsVectors(t *testing.T) {
	page, err := os.ReadFile("../../docs/WIRE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n### Test vectors\n")
	section, _, _ = strings.Cut(section, "\n## ")
	shown := jsonBlock.FindAllStringSubmatch(section, -1)
	if len(shown) == 0 {
		t.Fatal("docs/WIRE.md shows no vector")
	}
	file, err := os.ReadFile(wiretest.VectorsPath())
	if err != nil {
		t.Fatal(err)
	}
	lines := func(text string) string { return strings.ReplaceAll(text, "\n  ", "\n") } // without indentation
	for _, block := range shown {
		if !strings.Contains(lines(string(file)), strings.TrimSpace(lines(block[1]))) {
			t.Errorf("docs/WIRE.md shows a vector that is not in the file:\n%s", block[1])
		}
	}
}
