package watermillcarrier_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"go.uber.org/goleak"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/participant/watermillcarrier"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/watermillbus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var count = contract.NewCommand[int, string]("counter", "count")

func newCounter(effects *int) *participant.Participant[*participant.MemoryTx] {
	p := participant.New("counter", new(participant.MemoryInbox))
	participant.Handle(p, count, func(ctx context.Context, tx *participant.MemoryTx, n int) (string, error) {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		tx.OnCommit(func() { *effects++ })
		return fmt.Sprint("counted ", n), nil
	})
	return p
}

func command(action string) transport.Envelope {
	key := contract.Key{Saga: "order-42", Birth: 7, Step: "count", Direction: contract.DirectionDo}
	return transport.Envelope{
		Subject: transport.Subjects{}.Command("counter", action), Type: transport.TypeCommand, Saga: key.Saga, Birth: key.Birth, Step: key.Step,
		Direction: key.Direction, Attempt: 1, ReplyTo: transport.Subjects{}.Event("counter", key, 1),
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Data: []byte("3"),
	}
}

// shared is a channel that ignores Close, so that it stays open for other buses and routers.
type shared struct{ *gochannel.GoChannel }

func (shared) Close() error { return nil }

// TestRouter runs a participant in a service's router. A watermillbus on the same broker sends it a
// command, its duplicate, a command with an unknown action, and a message that cannot be answered.
func TestRouter(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	broker := gochannel.NewGoChannel(gochannel.Config{Persistent: true, OutputChannelBuffer: 16}, watermill.NopLogger{})
	defer broker.Close()
	bus, err := watermillbus.New(watermillbus.Config{
		Publisher:  broker,
		Subscriber: func(transport.Subscription) (message.Subscriber, error) { return shared{broker}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	answers, err := bus.Subscribe(ctx, transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	if err != nil {
		t.Fatal(err)
	}
	aside, err := broker.Subscribe(ctx, "saga.dead.commands")
	if err != nil {
		t.Fatal(err)
	}

	effects := 0
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	poison, err := middleware.PoisonQueueWithFilter(shared{broker}, "saga.dead.commands", watermillcarrier.Unanswerable)
	if err != nil {
		t.Fatal(err)
	}
	router.AddMiddleware(poison)
	router.AddHandler("counter", "saga.command.counter", shared{broker}, "saga.event", shared{broker}, watermillcarrier.Handler(newCounter(&effects)))
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	<-router.Running()

	nobody := command("count")
	nobody.ReplyTo = "saga.command.counter.count"
	if errs := bus.Publish(ctx, []transport.Envelope{nobody, command("recount"), command("count"), command("count")}); errs != nil {
		t.Fatal(errs)
	}
	for got := 0; got < 3; {
		batch, err := answers.Receive(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range batch {
			e := d.Envelope()
			if unknown := "unknown action: counter.recount (do; it cannot be handed back"; strings.HasPrefix(e.Reason, unknown) && e.Type == transport.TypeFailed && !e.Final {
				d.Ack()
				got++
				continue
			}
			if e.Type != transport.TypeCompleted || string(e.Data) != `"counted 3"` || e.Subject != "saga.event.counter.order-42.7.count.do.1" || e.TraceParent == "" {
				t.Errorf("answer %+v", e)
			}
			d.Ack()
			got++
		}
	}
	select {
	case m := <-aside:
		m.Ack()
	case <-ctx.Done():
		t.Fatal("the message that nobody can answer was not put aside")
	}
	if effects != 1 {
		t.Errorf("counted %d times, expected once", effects)
	}
	if err := router.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestUnreadableMetadata(t *testing.T) {
	effects := 0
	m := message.NewMessage("1", []byte("3"))
	m.Metadata.Set(transport.AttrAttempt, "first")
	if _, err := watermillcarrier.Handler(newCounter(&effects))(m); !watermillcarrier.Unanswerable(err) {
		t.Error(err)
	}
	if watermillcarrier.Unanswerable(errors.New("the database is away")) || watermillcarrier.Unanswerable(nil) {
		t.Error("an error that passes is taken for one that stays")
	}
}

// TestClosingRouter: a command is finished even if the router has cancelled its message's context.
func TestClosingRouter(t *testing.T) {
	effects := 0
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := command("count")
	m := watermillbus.ToMessage(ctx, &e)
	out, err := watermillcarrier.Handler(newCounter(&effects))(m)
	if err != nil || len(out) != 1 || effects != 1 {
		t.Errorf("%d messages, %d effects, %v", len(out), effects, err)
	}
}

// recorder is a publisher that records topics.
type recorder struct{ topics []string }

func (r *recorder) Publish(topic string, _ ...*message.Message) error {
	r.topics = append(r.topics, topic)
	return nil
}

func (r *recorder) Close() error { return errors.New("closed by somebody who does not own it") }

func TestBySubject(t *testing.T) {
	effects, r := 0, new(recorder)
	e := command("count")
	out, err := watermillcarrier.Handler(newCounter(&effects))(watermillbus.ToMessage(t.Context(), &e))
	if err != nil {
		t.Fatal(err)
	}
	p := watermillcarrier.BySubject(r)
	foreign := message.NewMessage("2", nil)
	if err := p.Publish("topic", append(out, foreign)...); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(r.topics) != "[saga.event.counter.order-42.7.count.do.1 topic]" {
		t.Errorf("published on %v", r.topics)
	}
	if err := p.Publish("saga.event.>", foreign); err == nil {
		t.Error("published on a filter")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
