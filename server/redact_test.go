package server_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/cli"
	"github.com/amends-dev/amends/internal/httpapi"
	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/participant"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
)

const hidden = "4111-1111-1111-1111"

// TestRedactedFields checks that no answer of the API or the command line shows redacted fields,
// including streams and dead letters. Participants still get them.
func TestRedactedFields(t *testing.T) {
	log := &notes{}
	d := start(t, server.Config{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), DataDir: t.TempDir(), HTTP: "127.0.0.1:0", Redact: []string{"order"}, Definitions: []*saga.Definition{checkout()}})
	var mu sync.Mutex
	var got []string
	quiet := participant.Logger(slog.New(slog.DiscardHandler))
	payment := participant.New("payment", &participant.MemoryInbox{}, quiet)
	participant.Handle(payment, charge, func(_ context.Context, _ *participant.MemoryTx, o order) (order, error) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, o.Order)
		return o, nil
	})
	participant.HandleUndo(payment, refill, func(context.Context, *participant.MemoryTx, contract.Undo[order, order]) error { return nil })
	shipping := participant.New("shipping", &participant.MemoryInbox{}, quiet)
	participant.Handle(shipping, send, func(context.Context, *participant.MemoryTx, order) (struct{}, error) { return struct{}{}, nil })
	for _, p := range []*participant.Participant[*participant.MemoryTx]{payment, shipping} {
		bus, err := d.Connect(t.Context(), p.Name())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = bus.Close() })
		run(t, p, bus)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	web := &http.Client{Transport: &http.Transport{}}
	defer web.CloseIdleConnections()
	c := apiv1connect.NewCoordinatorServiceClient(web, d.HTTP)
	started, err := c.Start(ctx, connect.NewRequest(&apiv1.StartRequest{Id: "order-1", Definition: &apiv1.DefinitionRef{Name: "checkout"}, Input: `{"order":"` + hidden + `"}`}))
	_ = message(t, started, err) // the message does not quote the input
	answers := map[string]proto.Message{}
	waited, err := c.Wait(ctx, connect.NewRequest(&apiv1.WaitRequest{Id: "order-1"}))
	answers["Wait"] = message(t, waited, err)
	if waited.Msg.Saga.Phase != string(contract.PhaseCompleted) {
		t.Fatalf("it did not complete: %v", waited.Msg)
	}
	known, err := c.Get(ctx, connect.NewRequest(&apiv1.GetRequest{Id: "order-1"}))
	answers["Get"] = message(t, known, err)
	history, err := c.History(ctx, connect.NewRequest(&apiv1.HistoryRequest{Id: "order-1", WithSaga: true}))
	answers["History"] = message(t, history, err)
	answers["Watch"] = watched(ctx, t, c)
	answers["ListDeadLetters"] = bury(ctx, t, d, c)
	for what, answer := range answers {
		text := protojson.Format(answer)
		if strings.Contains(text, hidden) {
			t.Errorf("%s shows it: %s", what, text)
		}
		if !strings.Contains(text, httpapi.Redacted) {
			t.Errorf("%s shows nothing redacted: %s", what, text)
		}
	}
	for _, command := range []string{"show", "history"} {
		var out bytes.Buffer
		if code := cli.Run(ctx, []string{command, "--server", d.HTTP, "-o", "json", "order-1"}, strings.NewReader(""), &out, &out); code != 0 || strings.Contains(out.String(), hidden) {
			t.Errorf("%s, exit %d: %s", command, code, &out)
		}
	}
	if text := log.all(); strings.Contains(text, hidden) || !strings.Contains(text, "order-1") {
		t.Errorf("the log: %s", text)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) == 0 || got[0] != hidden {
		t.Errorf("the participant got %q", got)
	}
}

func message[T any](t *testing.T, response *connect.Response[T], err error) proto.Message {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	m, ok := any(response.Msg).(proto.Message)
	if !ok {
		t.Fatalf("%T is no message", response.Msg)
	}
	return m
}

// watched returns the first message of a stream.
func watched(ctx context.Context, t *testing.T, c apiv1connect.CoordinatorServiceClient) proto.Message {
	t.Helper()
	stream, err := c.Watch(ctx, connect.NewRequest(&apiv1.WatchRequest{Id: "order-1"}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if stream.Msg().GetSaga() != nil {
			return stream.Msg()
		}
	}
	t.Fatal(stream.Err())
	return nil
}

// bury publishes a malformed answer, which becomes a dead letter.
func bury(ctx context.Context, t *testing.T, d running, c apiv1connect.CoordinatorServiceClient) proto.Message {
	t.Helper()
	nc, err := natstest.Connect(d.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("saga.event.payment.order-1.7.charge.do.1", []byte(`{"order":"`+hidden+`"}`)); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for ctx.Err() == nil {
		letters, err := c.ListDeadLetters(ctx, connect.NewRequest(&apiv1.ListDeadLettersRequest{}))
		if m := message(t, letters, err); len(letters.Msg.DeadLetters) > 0 {
			return m
		}
	}
	t.Fatal("no dead letter")
	return nil
}
