package natswatermill_test

import (
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
	"github.com/amends-dev/amends/transport/natsbus/natswatermill"
)

// restartURL is an environment variable. The suite restarts a broker by running a command, which is
// the test binary with the argument restart. It then only asks this URL for the restart, and exits.
const restartURL = "AMENDS_TEST_RESTART_URL"

func TestMain(m *testing.M) {
	if url := os.Getenv(restartURL); url != "" && len(os.Args) > 1 && os.Args[1] == "restart" {
		os.Exit(askForRestart(url))
	}
	log.SetOutput(io.Discard) // the suite logs every message
	// The suite leaks goroutines (the list of TestReconnect). Therefore only goroutines of this
	// package are checked; see TestNothingIsLeft.
	os.Exit(m.Run())
}

func askForRestart(url string) int {
	response, err := http.Post(url, "text/plain", nil)
	if err != nil {
		log.Print(err)
		return 1
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}

// broker is a server that can be restarted on the same port with the same files.
type broker struct {
	t      *testing.T
	config embedded.Config
	mu     sync.Mutex
	server *embedded.Server
}

func newBroker(t *testing.T) *broker {
	b := &broker{t: t, config: embedded.Config{StoreDir: t.TempDir(), Port: -1, SyncInterval: time.Minute}}
	var err error
	if b.server, err = embedded.Start(b.config); err != nil {
		t.Fatal(err)
	}
	url := b.server.ClientURL()
	b.config.Port, err = strconv.Atoi(url[strings.LastIndexByte(url, ':')+1:])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.server.Shutdown()
	})
	return b
}

func (b *broker) restart() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server.Shutdown()
	server, err := embedded.Start(b.config)
	if err == nil {
		b.server = server
	}
	return err
}

func (b *broker) connect() *nats.Conn {
	nc, err := natstest.Connect(b.server.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	return nc
}

// pubSub returns a constructor of publishers and subscribers over one connection.
func pubSub(nc *nats.Conn, change func(*natswatermill.Config)) tests.ConsumerGroupPubSubConstructor {
	return func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		config := natswatermill.Config{
			Conn:           nc,
			Group:          group,
			NackDelay:      func(int) time.Duration { return 10 * time.Millisecond },
			AckWait:        15 * time.Second,
			PublishTimeout: waitLimit,
			Heartbeat:      200 * time.Millisecond,
			CloseTimeout:   100 * time.Millisecond,
		}
		if change != nil {
			change(&config)
		}
		pub, err := natswatermill.NewPublisher(config)
		if err != nil {
			t.Fatal(err)
		}
		sub, err := natswatermill.NewSubscriber(config)
		if err != nil {
			t.Fatal(err)
		}
		return pub, sub
	}
}

func inGroup(c tests.ConsumerGroupPubSubConstructor, group string) tests.PubSubConstructor {
	return func(t *testing.T) (message.Publisher, message.Subscriber) { return c(t, group) }
}

// usual describes a service that uses the adapter with defaults.
var usual = tests.Features{
	ConsumerGroups:                      true,
	ExactlyOnceDelivery:                 false, // impossible; true would also skip three tests
	GuaranteedOrder:                     true,  // within one subscription, if no message is nacked
	GuaranteedOrderWithSingleSubscriber: true,
	Persistent:                          true,
	RequireSingleInstance:               false,
	NewSubscriberReceivesOldMessages:    true,  // only without a group; a group receives each message once
	ContextPreserved:                    false, // a context is not sent over a network
}

// TestPubSubShort runs Watermill's universal suite without tests that take seconds or stop the
// server. The laboratory runs the full suite; here, TestRestarts covers restarts.
func TestPubSubShort(t *testing.T) {
	features := usual
	features.ForceShort = true
	one(t, features, pubSub(newBroker(t).connect(), nil), map[string]suiteTest{
		"publish and subscribe": tests.TestPublishSubscribe, "subscribers": tests.TestConcurrentSubscribe,
		"several topics": tests.TestConcurrentSubscribeMultipleTopics, "resend": tests.TestResendOnError, "no ack": tests.TestNoAck,
		"after close": tests.TestContinueAfterSubscribeClose, "close at once": tests.TestConcurrentClose,
		"after errors": tests.TestContinueAfterErrors, "in order": tests.TestPublishSubscribeInOrder, "publisher": tests.TestPublisherClose,
		"topic": tests.TestTopic, "the context": tests.TestMessageCtx, "its end": tests.TestSubscribeCtx,
	})
}

type suiteTest = func(*testing.T, tests.TestContext, tests.PubSubConstructor)

// one runs some tests of the suite with different settings.
func one(t *testing.T, features tests.Features, construct tests.ConsumerGroupPubSubConstructor, list map[string]suiteTest) {
	for name, test := range list {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, tests.TestContext{TestID: tests.NewTestID(), Features: features}, inGroup(construct, "suite"))
		})
	}
}

// With one message of a group in flight at a time, the order holds across several subscribers.
func TestOrdered(t *testing.T) {
	b := newBroker(t)
	one(t, tests.Features{GuaranteedOrder: true, Persistent: true, ConsumerGroups: true, ForceShort: true},
		pubSub(b.connect(), func(c *natswatermill.Config) { c.Ordered = true }),
		map[string]suiteTest{
			"in order":       tests.TestPublishSubscribeInOrder,
			"no ack":         tests.TestNoAck,
			"resend":         tests.TestResendOnError,
			"after errors":   tests.TestContinueAfterErrors,
			"after close":    tests.TestContinueAfterSubscribeClose,
			"close at once":  tests.TestConcurrentClose,
			"publisher":      tests.TestPublisherClose,
			"the context":    tests.TestMessageCtx,
			"its end":        tests.TestSubscribeCtx,
			"several topics": tests.TestConcurrentSubscribeMultipleTopics,
		})
}

// With many messages in flight, only the order is lost.
func TestManyInFlight(t *testing.T) {
	b := newBroker(t)
	one(t, tests.Features{Persistent: true, ConsumerGroups: true, ForceShort: true},
		pubSub(b.connect(), func(c *natswatermill.Config) { c.InFlight = 32 }),
		map[string]suiteTest{
			"resend":        tests.TestResendOnError,
			"after errors":  tests.TestContinueAfterErrors,
			"after close":   tests.TestContinueAfterSubscribeClose,
			"close at once": tests.TestConcurrentClose,
			"publisher":     tests.TestPublisherClose,
			"the context":   tests.TestMessageCtx,
			"its end":       tests.TestSubscribeCtx,
			"subscribers":   tests.TestConcurrentSubscribe,
		})
}

// After Close, no goroutine of this package is running.
func TestNothingIsLeft(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Run("use", func(t *testing.T) {
		nc := newBroker(t).connect()
		pub, sub := pubSub(nc, func(c *natswatermill.Config) { c.InFlight = 3 })(t, "group")
		in, err := sub.Subscribe(t.Context(), "topic")
		if err != nil {
			t.Fatal(err)
		}
		if err := pub.Publish("topic", message.NewMessage("1", nil), message.NewMessage("2", nil)); err != nil {
			t.Fatal(err)
		}
		next(t, in).Ack()
		if err := errors.Join(pub.Close(), sub.Close()); err != nil {
			t.Fatal(err)
		}
	})
	goleak.VerifyNone(t, before)
}
