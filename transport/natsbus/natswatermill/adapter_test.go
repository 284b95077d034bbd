package natswatermill_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/natswatermill"
)

const waitLimit = 2 * time.Minute

func pair(t *testing.T, nc *nats.Conn, change func(*natswatermill.Config)) (message.Publisher, message.Subscriber, jetstream.JetStream) {
	t.Helper()
	pub, sub := pubSub(nc, change)(t, "group")
	t.Cleanup(func() {
		pub.Close()
		sub.Close()
	})
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return pub, sub, js
}

func next(t *testing.T, in <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m, open := <-in:
		if !open {
			t.Fatal("the channel is closed")
		}
		return m
	case <-time.After(waitLimit):
		t.Fatal("no message came")
	}
	return nil
}

// Messages arrive even if they have headers that break other clients: repeated headers, values that
// are not percent-encoded, or forged status headers.
func TestForeignHeaders(t *testing.T) {
	_, sub, js := pair(t, newBroker(t).connect(), nil)
	in, err := sub.Subscribe(t.Context(), "topic")
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range []nats.Header{
		{"baggage": {"a=1", "b=2"}, "rate": {"100%"}, "ce-id": {"an%20id"}},
		{"Status": {"409"}, "Description": {"Consumer Deleted"}},
		nil,
	} {
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "topic", Header: header}); err != nil {
			t.Fatal(err)
		}
	}
	first := next(t, in)
	first.Ack()
	if first.UUID != "an id" {
		t.Errorf("UUID %q", first.UUID)
	}
	if diff := cmp.Diff(message.Metadata{"baggage": "a=1,b=2", "rate": "100%", "ce-id": "an id"}, first.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	second := next(t, in)
	second.Ack()
	third := next(t, in)
	if second.Metadata.Get("Status") != "409" || third.UUID != "topic/3" {
		t.Errorf("metadata %v, UUID %q", second.Metadata, third.UUID)
	}
}

// Metadata with any content arrive unchanged. A key that is invalid as a header name is refused.
func TestMetadata(t *testing.T) {
	pub, sub, _ := pair(t, newBroker(t).connect(), nil)
	in, err := sub.Subscribe(t.Context(), "topic")
	if err != nil {
		t.Fatal(err)
	}
	m := message.NewMessage("uuid with \r\n", []byte{0, 1})
	m.Metadata = message.Metadata{"a": "line\r\nbreak \"Grüße\" 100 %", "traceparent": "00-x", "b": ""}
	if err := pub.Publish("topic", m); err != nil {
		t.Fatal(err)
	}
	got := next(t, in)
	if !got.Equals(m) {
		t.Errorf("%q %v %v; want %q %v %v", got.UUID, got.Metadata, got.Payload, m.UUID, m.Metadata, m.Payload)
	}
	m.Metadata = message.Metadata{"not a header": "x"}
	if err := pub.Publish("topic", m); err == nil || !strings.Contains(err.Error(), "not a header") {
		t.Errorf("%v", err)
	}
}

// A UUID is stored only once within the deduplication window.
func TestDeduplication(t *testing.T) {
	pub, _, js := pair(t, newBroker(t).connect(), nil)
	for range 3 {
		if err := pub.Publish("topic", message.NewMessage("one", nil)); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := js.Stream(t.Context(), "topic")
	if err != nil || stream.CachedInfo().State.Msgs != 1 {
		t.Errorf("%d messages stored, %v; want 1", stream.CachedInfo().State.Msgs, err)
	}
}

// If an operator deletes the stream or the consumer, it is recreated and the subscription
// continues.
func TestDeletedByHand(t *testing.T) {
	pub, sub, js := pair(t, newBroker(t).connect(), nil)
	in, err := sub.Subscribe(t.Context(), "topic")
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		id  string
		cut func() error
	}{
		{"before", func() error { return nil }},
		{"without consumer", func() error { return js.DeleteConsumer(t.Context(), "topic", "group") }},
		{"without stream", func() error { return js.DeleteStream(t.Context(), "topic") }},
	}
	for _, step := range steps {
		if err := step.cut(); err != nil {
			t.Fatal(err)
		}
		if err := pub.Publish("topic", message.NewMessage(step.id, nil)); err != nil {
			t.Fatal(err)
		}
		for got := ""; got != step.id; { // a new consumer starts with the oldest message
			m := next(t, in)
			got = m.UUID
			m.Ack()
		}
	}
}

// The broker restarts under load. Every accepted message arrives, and first deliveries keep the
// order of a single publisher.
func TestRestarts(t *testing.T) {
	b := newBroker(t)
	pub, sub, _ := pair(t, b.connect(), func(c *natswatermill.Config) { c.PublishTimeout, c.AckWait = time.Second, 3*time.Second })
	in, err := sub.Subscribe(t.Context(), "topic")
	if err != nil {
		t.Fatal(err)
	}
	const n = 600
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			if i%(n/3) == n/6 {
				if err := b.restart(); err != nil {
					t.Error(err)
					return
				}
			}
			m := message.NewMessage(strconv.Itoa(i), nil)
			for pub.Publish("topic", m) != nil && t.Context().Err() == nil {
			}
		}
	}()
	seen := map[string]bool{}
	for len(seen) < n {
		m := next(t, in)
		if !seen[m.UUID] && m.UUID != strconv.Itoa(len(seen)) {
			t.Errorf("%s came first at place %d", m.UUID, len(seen))
		}
		seen[m.UUID] = true
		m.Ack()
	}
	<-done
}

// A message is not redelivered while its handler runs, even for longer than AckWait.
func TestSlowHandler(t *testing.T) {
	// A busy machine may be too slow for a short AckWait, so retry with a longer one.
	ackWait := 100 * time.Millisecond
	for ; !keepsItsMessage(t, ackWait); ackWait *= 4 {
		if ackWait > 5*time.Second {
			t.Fatalf("a message came again although it was handled, with an AckWait of %s too", ackWait)
		}
	}
}

// keepsItsMessage reports whether a message is not redelivered while its handler runs for four
// times AckWait.
func keepsItsMessage(t *testing.T, ackWait time.Duration) bool {
	t.Helper()
	pub, sub, _ := pair(t, newBroker(t).connect(), func(c *natswatermill.Config) { c.AckWait = ackWait })
	in, err := sub.Subscribe(t.Context(), "topic")
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish("topic", message.NewMessage("1", nil), message.NewMessage("2", nil)); err != nil {
		t.Fatal(err)
	}
	first := next(t, in)
	select {
	case <-in:
		return false
	case <-time.After(4 * ackWait):
	}
	first.Ack()
	return next(t, in).UUID == "2"
}

// Close waits for a running handler, and returns undelivered messages to the server.
func TestCloseWaitsForHandlers(t *testing.T) {
	nc := newBroker(t).connect()
	pub, sub, _ := pair(t, nc, func(c *natswatermill.Config) { c.CloseTimeout = waitLimit })
	in, err := sub.Subscribe(t.Context(), "topic")
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish("topic", message.NewMessage("1", nil), message.NewMessage("2", nil)); err != nil {
		t.Fatal(err)
	}
	m := next(t, in)
	closed := make(chan error, 1)
	go func() { closed <- sub.Close() }()
	select {
	case <-closed:
		t.Fatal("Close did not wait")
	case <-m.Context().Done():
		t.Fatal("the context ended under the handler")
	case <-time.After(100 * time.Millisecond):
	}
	m.Ack()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, open := <-in; open {
		t.Error("the channel is open after Close")
	}
	_, again, _ := pair(t, nc, nil)
	rest, err := again.Subscribe(t.Context(), "topic")
	if err != nil {
		t.Fatal(err)
	}
	if got := next(t, rest); got.UUID != "2" {
		t.Errorf("%s came, want 2: 1 was acknowledged while closing", got.UUID)
	}
	if err := pub.Close(); err != nil {
		t.Error(err)
	}
	if err := pub.Publish("topic", message.NewMessage("3", nil)); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	if _, err := sub.Subscribe(t.Context(), "topic"); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// A message whose context has ended is not published.
func TestPublishContext(t *testing.T) {
	pub, _, _ := pair(t, newBroker(t).connect(), nil)
	m := message.NewMessage("1", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m.SetContext(ctx)
	if err := pub.Publish("topic", m); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
	if err := pub.Publish("no topic", message.NewMessage("1", nil)); err == nil {
		t.Error("a topic with a space was accepted")
	}
}

// A Watermill service receives a command from natsbus and sends an answer that natsbus decodes.
func TestTogetherWithNatsbus(t *testing.T) {
	nc := newBroker(t).connect()
	bus, err := natsbus.New(t.Context(), nc, natsbus.Config{Provision: natsbus.ProvisionCreate})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	pub, sub, _ := pair(t, nc, func(c *natswatermill.Config) {
		c.NoProvision = true
		c.Stream = func(string) string { return "SAGA_COMMANDS" }
	})
	in, err := sub.Subscribe(t.Context(), "saga.command.inventory.>")
	if err != nil {
		t.Fatal(err)
	}
	errs := bus.Publish(t.Context(), []transport.Envelope{{
		Subject: "saga.command.inventory.reserve-stock", Type: transport.TypeCommand, DedupID: "d", Saga: "order-1", Birth: 7, Step: "reserve",
		Direction: "do", Attempt: 1, ReplyTo: "saga.event.inventory.order-1.7.reserve.do.1", Reason: "because of\n100 %",
	}})
	if errs != nil {
		t.Fatal(errs)
	}
	command := next(t, in)
	if command.UUID != "d" || command.Metadata.Get("ce-reason") != "because of\n100 %" {
		t.Errorf("%s %v", command.UUID, command.Metadata)
	}
	answer := message.NewMessage("a", nil)
	answer.Metadata = message.Metadata{"ce-type": transport.TypeRejected, "ce-reason": "out of\nstock: 0 %"}
	if err := pub.Publish(command.Metadata.Get("ce-replyto"), answer); err != nil {
		t.Fatal(err)
	}
	command.Ack()
	source, err := bus.Subscribe(t.Context(), transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	batch, err := source.Receive(ctx, 1)
	if err != nil || batch[0].Envelope().Reason != "out of\nstock: 0 %" || batch[0].Envelope().Saga != "order-1" {
		t.Errorf("%v, %v", batch, err)
	}
}
