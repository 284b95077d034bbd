package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/internal/cli"
	"github.com/amends-dev/amends/internal/httpapi"
	"github.com/amends-dev/amends/participant"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
)

// collector collects exported spans.
func collector(t *testing.T) (url string, sent *notes) {
	t.Helper()
	sent = &notes{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(body)
			if err != nil {
				return
			}
			body = unzipped
		}
		if data, err := io.ReadAll(body); err == nil {
			_, _ = sent.Write(data)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, sent
}

// TestRedactedReasons checks that no reason, log line or span shows the value of a redacted field,
// whether a participant quotes the value or a mapping fails on it.
func TestRedactedReasons(t *testing.T) {
	const secret = "4111x1111y1111"
	log := &notes{}
	url, sent := collector(t)
	mapped, err := saga.ParseJSON([]byte(`{"name":"mapped","version":1,"steps":[
		{"step":{"name":"charge","kind":"retriable","do":{"participant":"payment","action":"charge","with":"{\"order\": string(int(input.order))}"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := start(t, server.Config{
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), DataDir: t.TempDir(), HTTP: "127.0.0.1:0",
		Redact: []string{"order"}, Definitions: []*saga.Definition{checkout(), mapped}, Traces: &server.Traces{Endpoint: url},
	})
	payment := participant.New("payment", &participant.MemoryInbox{}, participant.Logger(slog.New(slog.DiscardHandler)))
	participant.Handle(payment, charge, func(_ context.Context, _ *participant.MemoryTx, o order) (order, error) {
		return o, participant.Reject("card " + o.Order + " was declined")
	})
	bus, err := d.Connect(t.Context(), payment.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	run(t, payment, bus)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	web := &http.Client{Transport: &http.Transport{}}
	defer web.CloseIdleConnections()
	c := apiv1connect.NewCoordinatorServiceClient(web, d.HTTP)
	answers := map[string]proto.Message{}
	for id, definition := range map[string]string{"order-1": "checkout", "order-2": "mapped"} {
		_, err := c.Start(ctx, connect.NewRequest(&apiv1.StartRequest{Id: id, Definition: &apiv1.DefinitionRef{Name: definition}, Input: `{"order":"` + secret + `"}`}))
		if err != nil {
			t.Fatal(err)
		}
		waited, err := c.Wait(ctx, connect.NewRequest(&apiv1.WaitRequest{Id: id}))
		answers["Wait for "+id] = message(t, waited, err)
		if waited.Msg.Saga.Reason == "" {
			t.Fatalf("it has no reason: %v", waited.Msg)
		}
		known, err := c.Get(ctx, connect.NewRequest(&apiv1.GetRequest{Id: id}))
		answers["Get "+id] = message(t, known, err)
		history, err := c.History(ctx, connect.NewRequest(&apiv1.HistoryRequest{Id: id, WithSaga: true}))
		answers["History of "+id] = message(t, history, err)
	}
	list, err := c.List(ctx, connect.NewRequest(&apiv1.ListRequest{}))
	answers["List"] = message(t, list, err)
	answers["Watch"] = watched(ctx, t, c)
	for what, answer := range answers {
		if text := protojson.Format(answer); strings.Contains(text, secret) {
			t.Errorf("%s shows it: %s", what, text)
		}
	}
	for _, s := range list.Msg.Sagas {
		want := map[string]string{"order-1": "card " + httpapi.Redacted + " was declined", "order-2": "a value cannot be converted"}[s.Id]
		if !strings.Contains(s.Reason, want) {
			t.Errorf("the list says of %s: %s", s.Id, s.Reason)
		}
	}
	_, err = c.Operate(ctx, connect.NewRequest(&apiv1.OperateRequest{Id: "order-1", Decision: &apiv1.Decision{Operation: "cancel", By: "ada", Reason: "no"}}))
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a refused decision: %v", err)
	}
	for _, command := range [][]string{{"show", "order-1"}, {"history", "order-1"}, {"show", "order-2"}, {"list"}} {
		var out bytes.Buffer
		args := append([]string{command[0], "--server", d.HTTP}, command[1:]...)
		if code := cli.Run(ctx, args, strings.NewReader(""), &out, &out); code != 0 || strings.Contains(out.String(), secret) {
			t.Errorf("%s, exit %d: %s", command, code, &out)
		}
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if text := log.all(); strings.Contains(text, secret) || !strings.Contains(text, httpapi.Redacted) || !strings.Contains(text, "a value cannot be converted") {
		t.Errorf("the log: %s", text)
	}
	if text := sent.all(); strings.Contains(text, secret) || !strings.Contains(text, "order-1") {
		t.Errorf("the spans hold it, or nothing: %q", text)
	}
}
