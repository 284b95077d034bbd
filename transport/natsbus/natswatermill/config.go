package natswatermill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// Config configures publishers and subscribers. Conn is required, all else has defaults.
type Config struct {
	Conn *nats.Conn // belongs to the caller; should reconnect forever: nats.MaxReconnects(-1)

	// Stream returns the name of a topic's stream. Nil: the topic, with characters that a name
	// must not have replaced by _. With existing streams, such as SAGA_COMMANDS, set NoProvision.
	Stream func(topic string) string
	// StreamConfig changes the configuration with which a topic's stream is created. Nil: files,
	// one replica, seven days, no other limit.
	StreamConfig func(topic string, config *jetstream.StreamConfig)
	// NoProvision makes a missing stream an error instead of creating it.
	NoProvision bool

	PublishTimeout time.Duration // how long a publish waits for the server's acknowledgement; 0: 5 s

	// Of subscribers:

	// Group names the subscribers that share the messages of a topic, and the durable consumer.
	// "": every Subscribe gets all messages, and forgets its position when it ends.
	Group string
	// Consumer returns the name of a topic's durable consumer, for a group that reads several
	// topics of one stream, which must not share a consumer. Nil: Group.
	Consumer func(topic string) string
	// MakeConsumer asks another service, such as the coordinator (natsbus.Bus.AskConsumer), to
	// create the durable consumer of a topic. It is called again when the consumer seems to be
	// gone. Nil: the subscriber creates it.
	MakeConsumer func(ctx context.Context, topic, consumer string) error
	// FromNew makes a new group start with messages published from now on, instead of the oldest
	// that is stored.
	FromNew bool
	// Ordered keeps the order across nacks, by delivering one message of the group at a time.
	Ordered bool
	// InFlight is the number of messages that a subscription delivers before the first is
	// acknowledged; 0: 1. More than 1 gives up the order.
	InFlight int
	// Prefetch is the number of messages that a subscription buffers; 0: 16.
	Prefetch int
	// AckWait is how long the server waits for an answer from a subscriber that died; a live, busy
	// one keeps its message. 0: 30 s.
	AckWait time.Duration
	// NackDelay returns the delay before a nacked message is redelivered, by its number of
	// deliveries. Nil: 100 ms, doubled each time, at most 30 s.
	NackDelay func(deliveries int) time.Duration
	// CloseTimeout is how long Close, and the end of Subscribe's context, wait for answers to
	// delivered messages. 0: 5 s; negative: not at all.
	CloseTimeout time.Duration
	// Heartbeat is the time within which a silent server is noticed; 0: 500 ms.
	Heartbeat time.Duration

	Logger watermill.LoggerAdapter // nil: silent
}

func (c Config) withDefaults() (Config, error) {
	if c.Conn == nil {
		return c, errors.New("natswatermill: Config.Conn is nil; connect with nats.Connect first")
	}
	if strings.ContainsAny(c.Group, ".*>/\\ \t\r\n") {
		return c, fmt.Errorf("natswatermill: group %q has a character that a consumer's name must not have: . * > / \\ or a space", c.Group)
	}
	def(&c.PublishTimeout, 5*time.Second)
	def(&c.InFlight, 1)
	def(&c.Prefetch, 16)
	def(&c.AckWait, 30*time.Second)
	def(&c.CloseTimeout, 5*time.Second)
	def(&c.Heartbeat, 500*time.Millisecond)
	if c.Ordered {
		c.InFlight, c.Prefetch = 1, 1
	}
	c.Prefetch = max(c.Prefetch, c.InFlight)
	if c.NackDelay == nil {
		c.NackDelay = nackDelay
	}
	if group := c.Group; c.Consumer == nil {
		c.Consumer = func(string) string { return group }
	}
	if c.Stream == nil {
		c.Stream = streamName
	}
	if c.Logger == nil {
		c.Logger = watermill.NopLogger{}
	}
	return c, nil
}

func def[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func nackDelay(deliveries int) time.Duration {
	const first, most = 100 * time.Millisecond, 30 * time.Second
	if deliveries > 9 {
		return most
	}
	return min(first<<max(deliveries-1, 0), most)
}

// streamName replaces the characters that a stream's name must not have.
func streamName(topic string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || strings.ContainsRune(`.*>/\`, r) {
			return '_'
		}
		return r
	}, topic)
}

// checkTopic refuses topics that are not subjects. Wildcards are allowed for subscribing to
// existing streams only.
func checkTopic(topic string, wildcards bool) error {
	plain := topic
	if wildcards {
		plain = strings.NewReplacer("*", "x", ">", "x").Replace(topic)
	}
	if err := transport.CheckSubject(plain); err != nil {
		return fmt.Errorf("topic: %w", err)
	}
	return nil
}
