package watermillbus_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/watermillbus"
)

// closedLetters is a publisher that refuses dead letters.
type closedLetters struct {
	message.Publisher
	tries int
}

func (c *closedLetters) Publish(topic string, m ...*message.Message) error {
	if strings.HasPrefix(topic, "saga.dead") {
		c.tries++
		return errors.New("closed")
	}
	return c.Publisher.Publish(topic, m...)
}

// A message that cannot be dead-lettered is not redelivered for ever. After three tries it is
// acknowledged, and OnDropped is called (I9, I10).
func TestPoisonEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pubsub := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
		publisher := &closedLetters{Publisher: pubsub}
		var dropped []string
		bus := make1(t, watermillbus.Config{
			Publisher: publisher, Subscriber: func(transport.Subscription) (message.Subscriber, error) { return shared{pubsub}, nil },
			OnDropped: func(subject string, _ error) { dropped = append(dropped, subject) },
		})
		source, err := bus.Subscribe(t.Context(), transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
		if err != nil {
			t.Fatal(err)
		}
		subject := "saga.event.inventory.order-1.7.reserve.do.1"
		batch := []transport.Envelope{{Subject: subject, Type: "nonsense"}, {Subject: subject, Type: transport.TypeCompleted}}
		if errs := bus.Publish(t.Context(), batch); errs != nil {
			t.Fatal(errs)
		}
		got, err := source.Receive(t.Context(), 1)
		if err != nil || got[0].Envelope().Type != transport.TypeCompleted {
			t.Fatalf("%v, %v", got, err)
		}
		got[0].Ack()
		ctx, cancel := context.WithTimeout(t.Context(), 1e9)
		defer cancel()
		if got, err := source.Receive(ctx, 1); err == nil {
			t.Errorf("%+v came as well", got[0].Envelope())
		}
		if publisher.tries != 3 || len(dropped) != 1 || dropped[0] != subject {
			t.Errorf("%d tries, told of %q; want three tries, and one that is dropped", publisher.tries, dropped)
		}
		_ = bus.(*watermillbus.Bus).Close()
		_ = pubsub.Close()
	})
}

// Metadata keys that another publisher may refuse are kept in a value.
func TestDeadLetterKeepsMetadata(t *testing.T) {
	pubsub := gochannel.NewGoChannel(gochannel.Config{Persistent: true}, watermill.NopLogger{})
	defer pubsub.Close()
	bus := make1(t, watermillbus.Config{Publisher: pubsub, Subscriber: func(transport.Subscription) (message.Subscriber, error) { return shared{pubsub}, nil }})
	source, err := bus.Subscribe(t.Context(), transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	if err != nil {
		t.Fatal(err)
	}
	letters, err := pubsub.Subscribe(t.Context(), "saga.dead")
	if err != nil {
		t.Fatal(err)
	}
	m := message.NewMessage("1", []byte("poison"))
	m.Metadata.Set("Request Id", "7")
	m.Metadata.Set("ce-subject", "saga.event.inventory.order-1.7.reserve.do.1")
	if err := pubsub.Publish("saga.event", m); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _ = source.Receive(ctx, 1) }()
	letter := <-letters
	letter.Ack()
	kept, err := url.PathUnescape(letter.Metadata.Get("dead-metadata"))
	if err != nil || !strings.Contains(kept, `"Request Id":"7"`) {
		t.Errorf("kept %q, %v", kept, err)
	}
	for name := range letter.Metadata {
		if strings.Contains(name, " ") {
			t.Errorf("the dead letter has the name %q", name)
		}
	}
}
