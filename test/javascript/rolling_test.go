package javascript

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// renamed returns a copy of a command with a different action.
func renamed(m *nats.Msg, action, saga string) *nats.Msg {
	m = attempt(m, saga, "1")
	m.Subject = "saga.command.payment." + action
	m.Header.Del("ce-expirytime")
	return m
}

// deliver creates the participant's consumer as an instance that accepts bundles would. It then
// receives a command and returns it to the bus n times.
func (c *coordinator) deliver(t *testing.T, n int, command *nats.Msg) {
	t.Helper()
	consumer, err := c.commands.CreateOrUpdateConsumer(t.Context(), jetstream.ConsumerConfig{
		Durable: "payment", FilterSubject: "saga.command.payment.>", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1,
		Metadata: map[string]string{"amends-bundle": "16"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n > 0 {
		c.publish(t, command)
	}
	for range n {
		m, err := consumer.Next(jetstream.FetchMaxWait(waitLimit))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Nak(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnknownAction checks the rule of docs/WIRE.md for actions that a process does not know.
func TestUnknownAction(t *testing.T) {
	requireNode(t)
	for _, last := range []struct{ command, action, reason, final string }{
		{"command", "charge-card-v2", "unknown action: payment.charge-card-v2 (do; delivered 12 times): deploy a process that handles it", "true"},
		{"undo-command", "refund-card-v2", "unknown action: payment.refund-card-v2 (undo; delivered 12 times): deploy a process that handles it", ""},
		{"undo-command", "charge-card", "unknown action: payment.charge-card (undo; delivered 12 times): deploy a process that handles it", ""},
	} {
		t.Run("the last delivery of "+last.action+", "+last.command, func(t *testing.T) {
			c := newCoordinator(t)
			c.deliver(t, 11, renamed(example(t, last.command), last.action, "order-1"))
			startParticipant(t, c.url)
			answer := c.next(t)
			c.want(t, answer, "failed", "")
			if got := plain(t, answer); got != last.reason || answer.Headers().Get("ce-final") != last.final {
				t.Errorf("reason %q, final %q", got, answer.Headers().Get("ce-final"))
			}
		})
	}
	c := newCoordinator(t)
	startParticipant(t, c.url)
	t.Run("within its attempt", func(t *testing.T) {
		short := renamed(example(t, "command"), "charge-card-v2", "order-3")
		short.Header.Set("ce-expirytime", time.Now().Add(1500*time.Millisecond).UTC().Format(time.RFC3339Nano))
		answer := c.ask(t, short)
		c.want(t, answer, "failed", "")
		got := plain(t, answer)
		if !strings.HasPrefix(got, "unknown action: payment.charge-card-v2 (do; delivered ") || !strings.Contains(got, "in this attempt") {
			t.Errorf("reason %q", got)
		}
		if answer.Headers().Get("ce-final") == "true" {
			t.Error("it failed for good")
		}
	})
}

// TestRejectedUndo checks that a rejected undo is not recorded, because an operator may retry it.
func TestRejectedUndo(t *testing.T) {
	requireNode(t)
	c := newCoordinator(t)
	startParticipant(t, c.url)
	undo := example(t, "undo-command")
	closed := attempt(undo, "order-48", "1")
	closed.Data = []byte(`{"request":{"account":"closed"},"result":{"receipt":"r-17"}}`)
	c.want(t, c.ask(t, closed), "rejected", "")
	c.want(t, c.ask(t, attempt(undo, "order-48", "2")), "completed", `{"refunded":"r-17"}`)
}

// TestConsumerIsMadeAgain deletes the participant's consumer, and then the whole stream, which the
// coordinator recreates.
func TestConsumerIsMadeAgain(t *testing.T) {
	requireNode(t)
	c := newCoordinator(t)
	startParticipant(t, c.url)
	do := example(t, "command")
	c.want(t, c.ask(t, attempt(do, "order-1", "1")), "completed", `{"receipt":"r-1"}`)
	c.drained(t)
	if err := c.commands.DeleteConsumer(t.Context(), "payment"); err != nil {
		t.Fatal(err)
	}
	c.want(t, c.ask(t, attempt(do, "order-2", "1")), "completed", `{"receipt":"r-2"}`)
	c.drained(t)
	if err := c.js.DeleteStream(t.Context(), "SAGA_COMMANDS"); err != nil {
		t.Fatal(err)
	}
	c.commands = c.stream(t, "SAGA_COMMANDS", "saga.command.>")
	c.want(t, c.ask(t, attempt(do, "order-3", "1")), "completed", `{"receipt":"r-3"}`)
}

// TestBundlesAreNotForIt checks that the participant's consumer does not announce bundles. A bundle
// that arrives anyway is returned to the bus for an instance that accepts bundles.
func TestBundlesAreNotForIt(t *testing.T) {
	requireNode(t)
	c := newCoordinator(t)
	c.deliver(t, 0, nil) // an instance that accepts bundles has created the consumer
	startParticipant(t, c.url)
	consumer, err := c.commands.Consumer(t.Context(), "payment")
	if err != nil {
		t.Fatal(err)
	}
	if said := consumer.CachedInfo().Config.Metadata["amends-bundle"]; said != "" {
		t.Errorf("its consumer still says that it takes bundles of %s", said)
	}
	bundle := example(t, "bundle")
	bundle.Subject = "saga.command.payment.bundle.2"
	c.publish(t, bundle)
	c.redelivered(t)
}

// next returns the next answer to any command.
func (c *coordinator) next(t *testing.T) jetstream.Msg {
	t.Helper()
	answer, err := c.answers.Next(jetstream.FetchMaxWait(waitLimit))
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	return answer
}

// redelivered waits until a command has been returned to the bus and redelivered.
func (c *coordinator) redelivered(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	consumer, err := c.commands.Consumer(ctx, "payment")
	if err != nil {
		t.Fatal(err)
	}
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		info, err := consumer.Info(ctx)
		if err != nil {
			t.Fatalf("nothing was handed back: %v", err)
		}
		if info.NumRedelivered > 0 {
			tick.Stop()
			return
		}
	}
}

// plain returns the decoded reason of an answer.
func plain(t *testing.T, answer jetstream.Msg) string {
	t.Helper()
	reason, err := url.PathUnescape(answer.Headers().Get("ce-reason"))
	if err != nil {
		t.Fatal(err)
	}
	return reason
}
