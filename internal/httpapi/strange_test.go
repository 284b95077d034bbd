package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// TestStrangeRequests sends any well-formed JSON to any RPC. The code of the answer is one for
// invalid requests, and never an internal error (I9).
func TestStrangeRequests(t *testing.T) {
	w := newFixture(t)
	w.park(t, "stuck")
	w.http.Timeout = limit
	methods := apiv1.File_amends_api_v1_api_proto.Services().Get(0).Methods()
	meant := []string{"invalid_argument", "not_found", "already_exists", "failed_precondition", "resource_exhausted"}
	rapid.Check(t, func(rt *rapid.T) {
		m := methods.Get(rapid.IntRange(0, methods.Len()-1).Draw(rt, "rpc"))
		if m.IsStreamingServer() {
			return // streams have a different wire format; TestOperateAllRefuses and TestWatchRefuses cover them
		}
		body := message(rt, m.Input(), 3)
		if m.Input().Fields().ByName("timeout") != nil {
			body["timeout"] = "0.01s"
		}
		data, err := json.Marshal(body)
		if err != nil {
			rt.Fatal(err)
		}
		response, err := w.http.Post(w.HTTP+"/"+string(m.Parent().FullName())+"/"+string(m.Name()), "application/json", strings.NewReader(string(data)))
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			rt.Fatal(err)
		}
		var refused struct{ Code, Message string }
		if response.StatusCode != http.StatusOK {
			if err := json.Unmarshal(text, &refused); err != nil || !slices.Contains(meant, refused.Code) || len(refused.Message) < 5 {
				rt.Fatalf("%s %s answers %d %s", m.Name(), data, response.StatusCode, text)
			}
		}
	})
}

// inline lists the fields of requests that contain JSON.
var inline = []protoreflect.FullName{"amends.api.v1.StartRequest.input", "amends.api.v1.RunRequest.input", "amends.api.v1.Decision.result"}

// message fills fields with random values, valid or strange.
func message(t *rapid.T, d protoreflect.MessageDescriptor, depth int) map[string]any {
	out := map[string]any{}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if depth == 0 || rapid.IntRange(0, 2).Draw(t, "left out") == 0 {
			continue
		}
		if f.IsList() {
			list := []any{}
			for range rapid.IntRange(0, 3).Draw(t, "items") {
				list = append(list, value(t, f, depth))
			}
			out[f.JSONName()] = list
			continue
		}
		out[f.JSONName()] = value(t, f, depth)
	}
	return out
}

func value(t *rapid.T, f protoreflect.FieldDescriptor, depth int) any {
	label := f.JSONName()
	switch f.Kind() {
	case protoreflect.BoolKind:
		return rapid.Bool().Draw(t, label)
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return rapid.SampledFrom([]int64{0, 1, 2, -1, 1000, 1001, 1 << 30, -(1 << 31)}).Draw(t, label)
	case protoreflect.Uint64Kind:
		return rapid.SampledFrom([]uint64{0, 1, 3, 99, 1 << 40}).Draw(t, label)
	case protoreflect.BytesKind:
		return rapid.SampledFrom([]string{"", "e30=", "AAAA"}).Draw(t, label)
	case protoreflect.MessageKind:
		switch f.Message().FullName() {
		case "google.protobuf.Timestamp":
			return rapid.SampledFrom([]string{"0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", time.Now().UTC().Format(time.RFC3339)}).Draw(t, label)
		case "google.protobuf.Duration":
			return rapid.SampledFrom([]string{"0s", "-1s", "0.001s"}).Draw(t, label)
		}
		return message(t, f.Message(), depth-1)
	}
	if slices.Contains(inline, f.FullName()) {
		return rapid.SampledFrom([]any{nil, 7, "x", []any{}, map[string]any{"order": "x"}}).Draw(t, label)
	}
	return rapid.SampledFrom([]string{
		"", "stuck", "bakery", "ship", "parked", "running", "retry", "cancel", "pause", "resume", "completed", "{}", `{"order":"x"}`, "a b", "\x00", "ü", "*", ">",
		strings.Repeat("x", 2000), "name: x", "{", "application/json", "///",
	}).Draw(t, label)
}
