package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/participant"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport"
)

const (
	// tooMuch is more than any attribute may hold, and more than JetStream accepts as headers.
	// JetStream accepts nearlyAsMuch.
	tooMuch      = 70_000
	nearlyAsMuch = 60_000

	traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// entry is one interface. It sends a request, and returns the error message of a refused one, or "".
type entry struct {
	name string
	// fields maps each field that a caller can make too long to words in the refusal. "" means that
	// the request is accepted, because the field is dropped or cut.
	fields map[string]string
	send   func(field, value string) (refusal string)
}

// TestTooLong sends 70,000 bytes in each attribute over each interface (I9, I10). Unless the
// attribute is dropped or cut, the request is refused with the limit in the message. Every accepted
// saga ends, and the outbox holds no message that can never be sent.
func TestTooLong(t *testing.T) {
	data := t.TempDir()
	d := start(t, server.Config{DataDir: data, HTTP: "127.0.0.1:0", Definitions: post(t)})
	servePost(t, d)
	h := newFixture(t, d)
	h.starts("decided", "letter")
	for _, entry := range []entry{h.natsEntry("start"), h.natsEntry("run"), h.httpEntry(), h.grpcEntry(), h.decisionEntry(), h.natsDecisionEntry()} {
		for field, want := range entry.fields {
			said := entry.send(field, strings.Repeat("x", tooMuch))
			if (want == "") != (said == "") || !strings.Contains(said, want) || len(said) > 1000 {
				t.Errorf("%s, %s of %d bytes: says %.300q, and not %q", entry.name, field, tooMuch, said, want)
			}
		}
	}
	h.answer("decided", "1", "ce-type", transport.TypeCompleted)
	h.answersToLetters()
	h.starts("healthy", "parcel")
	for _, id := range h.open {
		h.asks("wait", idJSON(id), `"phase":"completed"`)
	}
	if _, metrics := fetch(t, http.MethodGet, d.HTTP+"/metrics", nil); !strings.Contains(metrics, fmt.Sprintf("amends_trace_contexts_dropped_total %d\n", h.dropped)) {
		t.Errorf("not %d trace contexts were counted as dropped", h.dropped)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	nothingPending(t, filepath.Join(data, server.StoreFile))
}

// nothingPending checks the store of a stopped coordinator: its outbox is empty.
func nothingPending(t *testing.T, file string) {
	t.Helper()
	s, err := boltstore.Open(file, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	err = outbox.All(t.Context(), s, func(_ outbox.Position, r outbox.Record) bool {
		t.Errorf("%s on %.100s is still pending", r.ID, r.Envelope.Subject)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

// post returns two definitions: parcels, which a real participant handles, and letters, whose first
// step the test answers by hand.
func post(t *testing.T) []*saga.Definition {
	t.Helper()
	var all []*saga.Definition
	for _, text := range []string{
		`{"name":"parcel","version":1,"steps":[
			{"step":{"name":"pack","kind":"compensable","do":{"participant":"box","action":"pack"},"undo":{"participant":"box","action":"unpack"}}},
			{"step":{"name":"tell","kind":"retriable","do":{"participant":"box","action":"tell"}}}]}`,
		`{"name":"letter","version":1,"steps":[
			{"step":{"name":"write","kind":"compensable","do":{"participant":"ghost","action":"write"},"nothingToUndo":true}},
			{"step":{"name":"tell","kind":"retriable","do":{"participant":"box","action":"tell"}}}]}`,
	} {
		def, err := saga.ParseJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, def)
	}
	return all
}

// servePost runs the well-behaved participant.
func servePost(t *testing.T, d running) {
	t.Helper()
	type raw = json.RawMessage
	box := participant.New("box", &participant.MemoryInbox{}, participant.Logger(slog.New(slog.DiscardHandler)))
	do := func(context.Context, *participant.MemoryTx, raw) (struct{}, error) { return struct{}{}, nil }
	pack := contract.NewCommand[raw, struct{}]("box", "pack")
	participant.Handle(box, pack, do)
	participant.HandleUndo(box, contract.UndoOf(pack, "unpack"), func(context.Context, *participant.MemoryTx, contract.Undo[raw, struct{}]) error { return nil })
	participant.Handle(box, contract.NewCommand[raw, struct{}]("box", "tell"), do)
	bus, err := d.Connect(t.Context(), "box")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	run(t, box, bus)
}

// fixture is a server with all interfaces open.
type fixture struct {
	*wire
	d       running
	web     *http.Client
	api     apiv1connect.CoordinatorServiceClient
	grpc    apiv1connect.CoordinatorServiceClient
	open    []string // ids of the accepted sagas
	dropped int      // number of dropped trace contexts
	n       int
}

func newFixture(t *testing.T, d running) *fixture {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	web, two := &http.Client{Transport: &http.Transport{}}, &http.Client{Transport: &http.Transport{Protocols: protocols}}
	t.Cleanup(func() { web.CloseIdleConnections(); two.CloseIdleConnections() })
	return &fixture{
		wire: newWire(t, d.NATS), d: d, web: web,
		api:  apiv1connect.NewCoordinatorServiceClient(web, d.HTTP),
		grpc: apiv1connect.NewCoordinatorServiceClient(two, d.HTTP, connect.WithGRPC()),
	}
}

// id returns the id of a new saga and records that it must end.
func (h *fixture) id() string {
	h.n++
	return fmt.Sprintf("parcel-%d", h.n)
}

// starts starts a saga with the Go client.
func (h *fixture) starts(id, definition string) {
	h.t.Helper()
	ask(h.t, h.d, func(ctx context.Context, c *client.Client) {
		if _, err := c.Start(ctx, contract.DefinitionRef{Name: definition}, 1, client.ID(contract.SagaID(id))); err != nil {
			h.t.Fatal(err)
		}
	})
	h.open = append(h.open, id)
}

// took records the answer to a start: a saga that was accepted must end.
func (h *fixture) took(id, field, refusal string) string {
	if refusal == "" {
		h.open = append(h.open, id)
	}
	if strings.HasPrefix(field, "trace") {
		h.dropped++
	}
	return refusal
}

// natsEntry returns the entry for a request over NATS: start or run.
func (h *fixture) natsEntry(method string) entry {
	fields := map[string]string{
		"traceparent": "", "tracestate": "", "ce-reason": "", "ce-unknown": "", "nats-msg-id": "", "baggage": "",
		"ce-sagaid": "is 70000 characters long", "ce-definition": "is 70000 characters long", "ce-step": "is 70000 characters long",
		"ce-direction": "neither do nor undo", "ce-attempt": "number from 1", "ce-final": "neither true nor false", "ce-retryafterms": "milliseconds", "ce-specversion": "1.0",
	}
	for field, most := range map[string]int{
		"ce-datacontenttype": 255, "content-type": 255, "ce-id": 512, "ce-source": 256, "ce-type": 128, "ce-code": 64,
		"ce-replyto": 512, "ce-time": 64, "ce-expirytime": 64,
	} {
		fields[field] = fmt.Sprintf("is 70000 bytes long; at most %d are allowed", most)
	}
	return entry{"NATS " + method, fields, func(field, value string) string {
		id := h.id()
		header := map[string]string{"ce-sagaid": id, "ce-definition": "parcel", "ce-expirytime": "2000-01-01T00:00:00Z"}
		if field == "tracestate" {
			header["traceparent"] = traceParent
		}
		header[field] = value
		var pairs []string
		for name, value := range header {
			pairs = append(pairs, name, value)
		}
		reply, err := h.conn.RequestMsg(&nats.Msg{Subject: "saga.api." + method, Header: headers(pairs), Data: []byte(`1`)}, limit)
		if err != nil {
			h.t.Fatal(err)
		}
		refusal, err := url.PathUnescape(reply.Header.Get("Nats-Service-Error"))
		if err != nil {
			h.t.Fatal(err)
		}
		return h.took(id, field, refusal)
	}}
}

// traced returns the headers of an HTTP request. One of them is too long, but not so long that the
// HTTP server refuses the request (431).
func traced(header http.Header, field, value string) {
	header.Set("Traceparent", traceParent)
	if strings.HasPrefix(field, "trace") {
		header.Set(field, value[:50_000])
	}
}

// startFields returns the fields of a start over HTTP that can be too long.
func startFields() map[string]string {
	return map[string]string{
		"traceparent": "", "tracestate": "",
		"id": "is 70000 characters long", "definition": "is 70000 characters long", "contentType": "is 70000 bytes long; at most 255 are allowed",
	}
}

// httpEntry returns the entry for a start as plain JSON over HTTP.
func (h *fixture) httpEntry() entry {
	return entry{"HTTP start", startFields(), func(field, value string) string {
		id := h.id()
		body := map[string]any{"id": id, "definition": map[string]any{"name": "parcel"}, "input": 1}
		switch field {
		case "definition":
			body["definition"] = map[string]any{"name": value}
		case "id", "contentType":
			body[field] = value
		}
		data, err := json.Marshal(body)
		if err != nil {
			h.t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.d.HTTP+apiv1connect.CoordinatorServiceStartProcedure, strings.NewReader(string(data)))
		if err != nil {
			h.t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		traced(request.Header, field, value)
		response, err := h.web.Do(request)
		if err != nil {
			h.t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			h.t.Fatal(err)
		}
		var refusal struct{ Message string }
		if response.StatusCode != http.StatusOK && json.Unmarshal(text, &refusal) != nil {
			h.t.Errorf("%d %.200s", response.StatusCode, text)
		}
		return h.took(id, field, refusal.Message)
	}}
}

// grpcEntry returns the entry for a start over gRPC.
func (h *fixture) grpcEntry() entry {
	return entry{"gRPC start", startFields(), func(field, value string) string {
		id := h.id()
		m := &apiv1.StartRequest{Id: id, Definition: &apiv1.DefinitionRef{Name: "parcel"}, Input: "1"}
		switch field {
		case "definition":
			m.Definition.Name = value
		case "id":
			m.Id = value
		case "contentType":
			m.ContentType = value
		}
		request := connect.NewRequest(m)
		traced(request.Header(), field, value)
		_, err := h.grpc.Start(h.t.Context(), request)
		return h.took(id, field, said(err))
	}}
}

func said(err error) string {
	if refused := new(connect.Error); errors.As(err, &refused) {
		return refused.Message()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// decision returns an operation that is legal, except that one field is too long.
func decision(field, value string) api.Decision {
	op := api.Decision{Operation: "pause", By: "kim", Reason: "stock-taking"}
	switch field {
	case "by":
		op.By = value
	case "reason":
		op.Reason = value
	case "operation":
		op.Operation = contract.Operation(value)
	case "step":
		op.Step = contract.StepName(value)
	case "outcome":
		op.Outcome = contract.Outcome(value)
	}
	return op
}

func decisionFields() map[string]string {
	return map[string]string{
		"by": "is 70000 bytes long; at most 1024 are allowed", "reason": "is 70000 bytes long; at most 1024 are allowed",
		"operation": "is 70000 bytes long; at most 64 are allowed", "step": "is 70000 characters long", "outcome": "is not an outcome",
	}
}

// decisionEntry returns the entry for an operator's decision over HTTP.
func (h *fixture) decisionEntry() entry {
	return entry{"HTTP decision", decisionFields(), func(field, value string) string {
		op := decision(field, value)
		_, err := h.api.Operate(h.t.Context(), connect.NewRequest(&apiv1.OperateRequest{Id: "decided", Decision: &apiv1.Decision{
			Operation: string(op.Operation), Step: string(op.Step), By: op.By, Reason: op.Reason, Outcome: string(op.Outcome),
		}}))
		if refused := new(connect.Error); !errors.As(err, &refused) || refused.Code() != connect.CodeInvalidArgument {
			h.t.Errorf("%s: %.300v", field, err)
		}
		return said(err)
	}}
}

// natsDecisionEntry returns the entry for an operator's decision over NATS.
func (h *fixture) natsDecisionEntry() entry {
	return entry{"NATS decision", decisionFields(), func(field, value string) (refusal string) {
		ask(h.t, h.d, func(ctx context.Context, c *client.Client) {
			_, err := c.Operate(ctx, "decided", decision(field, value))
			if !errors.Is(err, client.ErrInvalid) {
				h.t.Errorf("%s: %.300v", field, err)
			}
			refusal = fmt.Sprint(err)
		})
		return refusal
	}}
}

// answer publishes the answer to the first step of a letter.
func (h *fixture) answer(id, data string, header ...string) {
	h.t.Helper()
	h.answers("saga.event.ghost."+id+"."+h.birth(id)+".write.do.1", data, header...)
}

// answersToLetters publishes answers of a participant, each to its own saga. Valid answers advance
// the saga; malformed ones become dead letters.
func (h *fixture) answersToLetters() {
	h.t.Helper()
	long := strings.Repeat("x", nearlyAsMuch)
	done, rejected := []string{"ce-type", transport.TypeCompleted}, []string{"ce-type", transport.TypeRejected}
	for _, c := range map[string]struct {
		data   string
		header []string
		phase  contract.Phase // phase in which the saga ends; "" if the answer becomes a dead letter
		reason string         // words in the reason
	}{
		"content type":  {"1", append(done, "ce-datacontenttype", long), contract.PhaseCompensated, "the result cannot be used: attribute ce-datacontenttype"},
		"no media type": {"1", append(done, "ce-datacontenttype", "///"), contract.PhaseCompensated, "is not a media type"},
		"Latin-1 type":  {"1", append(done, "ce-datacontenttype", "text/plain;x=%FF"), contract.PhaseCompensated, "the result cannot be used: attribute ce-datacontenttype"},
		"type as it is": {"no", append(rejected, "ce-datacontenttype", "100%"), contract.PhaseCompensated, "no"},
		"rejected":      {"no", append(rejected, "ce-datacontenttype", long), contract.PhaseCompensated, "no"},
		"reason":        {"", append(rejected, "ce-reason", long), contract.PhaseCompensated, "xxx…"},
		"long data":     {strings.Repeat("é", 100_000), rejected, contract.PhaseCompensated, "é…"},
		"not UTF-8":     {strings.Repeat("\xff", 5000), rejected, contract.PhaseCompensated, "…"},
		"traceparent":   {"1", append(done, "traceparent", long), contract.PhaseCompleted, ""},
		"tracestate":    {"1", append(done, "traceparent", traceParent, "tracestate", long), contract.PhaseCompleted, ""},
		"id":            {"1", append(done, "ce-id", long), "", "is 60000 bytes long; at most 512"},
		"source":        {"1", append(done, "ce-source", long), "", "is 60000 bytes long; at most 256"},
	} {
		id := h.id()
		h.starts(id, "letter")
		h.answer(id, c.data, c.header...)
		switch c.phase {
		case "":
			h.waitForLetter(c.reason)
			h.answer(id, "1", done...)
		case contract.PhaseCompensated:
			h.open = h.open[:len(h.open)-1]
			h.asks("wait", idJSON(id), `"phase":"compensated"`)
			h.asks("get", idJSON(id), c.reason)
		default:
			h.dropped++
		}
	}
}

// waitForLetter waits for a dead letter whose reason contains the given words.
func (h *fixture) waitForLetter(reason string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	for {
		reply, err := h.conn.RequestMsgWithContext(ctx, &nats.Msg{Subject: "saga.api.list-dead-letters", Data: []byte("{}")})
		if err != nil {
			h.t.Fatalf("waiting for a dead letter that says %q: %v", reason, err)
		}
		if strings.Contains(string(reply.Data), reason) {
			return
		}
	}
}
