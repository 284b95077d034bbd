package watermillbus_test

import (
	"maps"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"go.uber.org/goleak"

	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
	"github.com/amends-dev/amends/transport/natsbus/natswatermill"
	"github.com/amends-dev/amends/transport/transporttest"
	"github.com/amends-dev/amends/transport/watermillbus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// always returns the features that every bus on Watermill lacks, together with the given ones.
func always(more map[transporttest.Feature]string) map[transporttest.Feature]string {
	lacks := map[transporttest.Feature]string{
		transporttest.Batches:      "a subscriber hands out the next message after the answer to the one before",
		transporttest.InFlight:     "the subscriber decides what is in flight",
		transporttest.AckWait:      "a message stays with its subscriber",
		transporttest.Redeliveries: "Watermill does not count",
		transporttest.Requests:     "Watermill has publish and subscribe only",
		transporttest.Letters:      "Watermill cannot look into a topic",
		transporttest.Losing:       "Watermill would not say so",
		transporttest.Tracking:     "Watermill cannot look into a topic",
	}
	maps.Copy(lacks, more)
	return lacks
}

func make1(t *testing.T, config watermillbus.Config) transport.Bus {
	t.Helper()
	bus, err := watermillbus.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	return bus
}

func closeBus(t *testing.T, bus transport.Bus) {
	if err := bus.(*watermillbus.Bus).Close(); err != nil {
		t.Error(err)
	}
}

// shared is a subscriber that ignores Close, so that the in-memory pub/sub stays open for other
// sources.
type shared struct{ message.Subscriber }

func (shared) Close() error { return nil }

func TestConformanceInMemory(t *testing.T) {
	transporttest.Run(t, transporttest.Factory{
		New: func(t *testing.T) transport.Bus {
			pubsub := gochannel.NewGoChannel(gochannel.Config{Persistent: true}, watermill.NopLogger{})
			t.Cleanup(func() { pubsub.Close() })
			return make1(t, watermillbus.Config{
				Publisher:  pubsub,
				Subscriber: func(transport.Subscription) (message.Subscriber, error) { return shared{pubsub}, nil },
			})
		},
		Close: closeBus,
		Lacks: always(map[transporttest.Feature]string{
			transporttest.Order:      "gochannel sends each message from a goroutine of its own",
			transporttest.Sharing:    "gochannel has no groups",
			transporttest.Continuing: "gochannel has no groups",
			transporttest.Dedup:      "gochannel does not deduplicate",
			transporttest.SizeLimit:  "gochannel has none",
			transporttest.New:        "gochannel repeats everything to a new subscriber",
		}),
	})
}

func TestConformanceOverNATS(t *testing.T) {
	transporttest.Run(t, transporttest.Factory{
		New: func(t *testing.T) transport.Bus {
			server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Shutdown)
			nc, err := natstest.Connect("", server.InProcess())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			config := natswatermill.Config{Conn: nc, CloseTimeout: -1, NackDelay: func(int) time.Duration { return time.Millisecond }}
			pub, err := natswatermill.NewPublisher(config)
			if err != nil {
				t.Fatal(err)
			}
			return make1(t, watermillbus.Config{
				Publisher: pub,
				Subscriber: func(s transport.Subscription) (message.Subscriber, error) {
					config := config
					config.Group, config.FromNew = s.Name, s.Ephemeral
					if s.Ephemeral {
						config.Group = ""
					}
					return natswatermill.NewSubscriber(config)
				},
			})
		},
		Close: closeBus,
		Lacks: always(nil),
	})
}
