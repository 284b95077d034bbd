package httpapi_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/httpapi"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

var example = regexp.MustCompile("(?s)```sh\n(.*?)```\n\n```json\n(.*?)```")

// TestExamplesRun runs every command of docs/API.md in order, and compares the answers with those
// in the document.
func TestExamplesRun(t *testing.T) {
	text, err := os.ReadFile("../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newFixture(t)
	examples := example.FindAllStringSubmatch(string(text), -1)
	if n := strings.Count(string(text), "```sh"); len(examples) != n || n == 0 {
		t.Fatalf("%d of %d commands have an answer", len(examples), n)
	}
	for _, e := range examples {
		command := exec.CommandContext(within(t), "sh", "-c", e[1])
		command.Env = append(os.Environ(), "API="+w.HTTP+"/amends.api.v1.CoordinatorService", "JSON=Content-Type: application/json")
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%s: %v", e[1], err)
		}
		var got, want any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s answers %s: %v", e[1], out, err)
		}
		if err := json.Unmarshal([]byte(e[2]), &want); err != nil {
			t.Fatalf("%s: %v", e[2], err)
		}
		if missing := holds(got, want, "answer"); missing != "" {
			t.Errorf("%s answers %s: %s", e[1], out, missing)
		}
	}
}

// holds describes what part of want is missing in got, or returns "".
func holds(got, want any, path string) string {
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", path, got)
		}
		for key, value := range want {
			if missing := holds(have[key], value, path+"."+key); missing != "" {
				return missing
			}
		}
	case []any:
		have, ok := got.([]any)
		if !ok || len(have) != len(want) {
			return fmt.Sprintf("%s is %v, want %v", path, got, want)
		}
		for i := range want {
			if missing := holds(have[i], want[i], fmt.Sprintf("%s[%d]", path, i)); missing != "" {
				return missing
			}
		}
	default:
		if got != want {
			return fmt.Sprintf("%s is %v, want %v", path, got, want)
		}
	}
	return ""
}

// TestOpenAPIDescribesEveryRPC checks that the document is served, equals the committed one, and is
// complete.
func TestOpenAPIDescribesEveryRPC(t *testing.T) {
	w := newFixture(t)
	response, err := w.http.Get(w.HTTP + "/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var document struct {
		OpenAPI    string `yaml:"openapi"`
		Paths      map[string]map[string]any
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Type string }
			}
		}
	}
	if err := yaml.NewDecoder(response.Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
	service := apiv1.File_amends_api_v1_api_proto.Services().Get(0)
	if document.OpenAPI != "3.1.0" || len(document.Paths) != service.Methods().Len() {
		t.Errorf("OpenAPI %s with %d paths, want 3.1.0 with %d", document.OpenAPI, len(document.Paths), service.Methods().Len())
	}
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		if document.Paths[fmt.Sprintf("/%s/%s", service.FullName(), m.Name())]["post"] == nil {
			t.Errorf("%s is not described", m.Name())
		}
	}
	messages := apiv1.File_amends_api_v1_api_proto.Messages()
	for i := range messages.Len() {
		m := messages.Get(i)
		if strings.HasPrefix(string(m.Name()), "Subscribe") {
			continue // exists on NATS only
		}
		properties := document.Components.Schemas[string(m.Name())].Properties
		if len(properties) != m.Fields().Len() {
			t.Errorf("%s is described with %d of %d fields", m.Name(), len(properties), m.Fields().Len())
		}
		for k := range m.Fields().Len() {
			if _, ok := properties[m.Fields().Get(k).JSONName()]; !ok {
				t.Errorf("%s is not described", m.Fields().Get(k).FullName())
			}
		}
	}
	for path, want := range map[string]string{
		"Filter.idPrefix": "string", "Filter.phases": "array", "OperateRequest.expectedRevision": "integer", "Payload.sizeBytes": "integer", "ListRequest.limit": "integer",
		"Latency.p99Seconds": "number", "Payload.json": "", "StartRequest.input": "", "RunRequest.input": "", "Decision.result": "", "Definition.canonical": "",
		"RegisterDefinitionRequest.source": "string", "RunRequest.inputBinary": "string", "WaitRequest.timeout": "string", "Saga.started": "string",
	} {
		message, field, _ := strings.Cut(path, ".")
		if got := document.Components.Schemas[message].Properties[field].Type; got != want {
			t.Errorf("%s has the type %q, want %q", path, got, want)
		}
	}
}

// TestLimitsDocument checks that docs/API.md states the limits in the code.
func TestLimitsDocument(t *testing.T) {
	page, err := os.ReadFile("../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	for words, bound := range map[string]int{
		"| `id` | %d |": contract.MaxSagaIDLength,
		"| `definition.name`, `decision.step`, `decision.operation` | %d |": contract.MaxNameLength,
		"| `contentType` | %d |":                             transport.MaxContentType,
		"| `input`, `inputBinary`, `decision.result` | %d |": contract.MaxPayload,
		"| `decision.by`, `decision.reason` | %d |":          contract.MaxReason,
		"| a message | %d |":                                 httpapi.MaxMessage,
		"`tracestate` of more than %d bytes":                 transport.MaxTraceState,
	} {
		want := fmt.Sprintf(words, bound)
		if !strings.Contains(strings.ReplaceAll(string(page), ",", ""), strings.ReplaceAll(want, ",", "")) {
			t.Errorf("docs/API.md does not say %q", want)
		}
	}
}
