//go:build lab && !race

package natswatermill_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport/natsbus/natswatermill"
)

// TestPubSub runs Watermill's universal suite, except under the race detector: the suite's
// TestReconnect reads its list of messages while one of its goroutines appends to the list.
func TestPubSub(t *testing.T) {
	b := newBroker(t)
	construct := byTest(b.connect())
	features := usual
	features.RestartServiceCommand = b.restartCommand()
	tests.TestPubSub(t, features, inGroup(construct, "suite"), construct)
}

// restartCommand returns a command that restarts the broker.
func (b *broker) restartCommand() []string {
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := b.restart(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	b.t.Cleanup(control.Close)
	b.t.Setenv(restartURL, control.URL)
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	return []string{self, "restart"}
}

// pause is longer than a goroutine takes to append to a list.
const pause = 50 * time.Millisecond

// late delays every message briefly. The suite's TestReconnect compares the received messages with
// a list to which one of its goroutines may still be appending. A subscriber that is faster than
// the goroutine would fail the test.
type late struct{ message.Subscriber }

func (l late) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	type held struct {
		m   *message.Message
		due time.Time
	}
	in, err := l.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	queue, out := make(chan held, 10_000), make(chan *message.Message)
	go func() {
		defer close(queue)
		for m := range in {
			queue <- held{m, time.Now().Add(pause)}
		}
	}()
	go func() {
		defer close(out)
		for h := range queue {
			<-time.After(time.Until(h.due))
			select {
			case out <- h.m:
			case <-h.m.Context().Done():
			}
		}
	}()
	return out, nil
}

// byTest gives two tests of the suite special subscribers. TestReconnect gets delayed subscribers
// with enough messages in flight. The test of old messages gets subscribers without a group,
// because only those receive old messages.
func byTest(nc *nats.Conn) tests.ConsumerGroupPubSubConstructor {
	usual := pubSub(nc, nil)
	many := pubSub(nc, func(c *natswatermill.Config) { c.InFlight = 1000 })
	return func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		switch {
		case strings.Contains(t.Name(), "/TestReconnect/"):
			pub, sub := many(t, group)
			return pub, late{sub}
		case strings.Contains(t.Name(), "/TestNewSubscriberReceivesOldMessages/"):
			return usual(t, "")
		}
		return usual(t, group)
	}
}
