package otlp_test

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// limit is how long a test waits for anything.
const limit = 2 * time.Minute

// span is a span as the collector received it.
type span struct {
	trace, id, parent string
	name, service     string
	kind              wire.Span_SpanKind
	status            wire.Status_StatusCode
	attributes        map[string]any
	links             []link
	begin, end        uint64
}

type link struct {
	trace, span string
	kind        any
}

// receiver is a collector that decodes OTLP over HTTP.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	spans   map[string][]span // by trace id
	arrived chan struct{}     // capacity 1
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{spans: map[string][]span{}, arrived: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, request *http.Request) {
		if err := r.take(request); err != nil {
			t.Errorf("the exporter sent invalid OTLP: %v", err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(request *http.Request) error {
	body := io.Reader(request.Body)
	if request.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = unzipped
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &export); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range export.GetResourceSpans() {
		service, _ := plain(resource.GetResource().GetAttributes())["service.name"].(string)
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				one := decode(s)
				one.service = service
				r.spans[one.trace] = append(r.spans[one.trace], one)
			}
		}
	}
	select {
	case r.arrived <- struct{}{}:
	default:
	}
	return nil
}

func decode(s *wire.Span) span {
	out := span{
		trace: hex.EncodeToString(s.GetTraceId()), id: hex.EncodeToString(s.GetSpanId()), parent: hex.EncodeToString(s.GetParentSpanId()),
		name: s.GetName(), kind: s.GetKind(), status: s.GetStatus().GetCode(), attributes: plain(s.GetAttributes()),
		begin: s.GetStartTimeUnixNano(), end: s.GetEndTimeUnixNano(),
	}
	for _, l := range s.GetLinks() {
		out.links = append(out.links, link{hex.EncodeToString(l.GetTraceId()), hex.EncodeToString(l.GetSpanId()), plain(l.GetAttributes())["amends.link"]})
	}
	return out
}

func plain(attributes []*common.KeyValue) map[string]any {
	out := map[string]any{}
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			out[a.GetKey()] = v.IntValue
		case *common.AnyValue_BoolValue:
			out[a.GetKey()] = v.BoolValue
		case *common.AnyValue_DoubleValue:
			out[a.GetKey()] = v.DoubleValue
		}
	}
	return out
}

// trace waits until enough returns true for the spans of a trace, and returns them.
func (r *receiver) trace(t *testing.T, id string, enough func([]span) bool) []span {
	t.Helper()
	timeout := time.After(limit)
	for {
		r.mu.Lock()
		found := append([]span(nil), r.spans[id]...)
		r.mu.Unlock()
		if enough(found) {
			return found
		}
		select {
		case <-r.arrived:
		case <-timeout:
			t.Fatalf("trace %s has only %d spans: %+v", id, len(found), found)
		}
	}
}
