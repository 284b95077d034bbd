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

// Config configures publishers and subscribers. Only Conn is required.
type Config struct {
	Conn *nats.Conn // owned by the caller; should reconnect without limit: nats.MaxReconnects(-1)

	// Stream returns the name of a topic's stream. Nil means the topic, with _ in place of
	// characters that are invalid in a stream name. For existing streams, such as SAGA_COMMANDS,
	// set NoProvision as well.
	Stream func(topic string) string
	// StreamConfig modifies the configuration with which a topic's stream is created. Nil means
	// file storage, one replica, a maximum age of seven days, and no other limit.
	StreamConfig func(topic string, config *jetstream.StreamConfig)
	// NoProvision returns an error for a missing stream instead of creating it.
	NoProvision bool

	PublishTimeout time.Duration // how long a publish waits for the server's acknowledgement; 0 means 5 s

	// Options of subscribers:

	// Group is the name of subscribers that share the messages of a topic, and of their durable
	// consumer. "" means that every Subscribe call receives all messages, and does not keep its
	// position.
	Group string
	// Consumer returns the name of a topic's durable consumer. It is for a group that reads several
	// topics of one stream, because each topic needs its own consumer. Nil means Group.
	Consumer func(topic string) string
	// MakeConsumer asks another service, such as the coordinator (natsbus.Bus.AskConsumer), to
	// create the durable consumer of a topic. It is called again if the consumer seems to be
	// missing. Nil means that the subscriber creates the consumer.
	MakeConsumer func(ctx context.Context, topic, consumer string) error
	// FromNew makes a new group start with messages published from now on. Otherwise, the group
	// starts with the oldest stored message.
	FromNew bool
	// Ordered keeps the order even if messages are nacked. The group then has one message in flight
	// at a time.
	Ordered bool
	// InFlight is the maximum number of unacknowledged messages of a subscription; 0 means 1. More
	// than 1 does not keep the order.
	InFlight int
	// Prefetch is the number of messages that a subscription buffers; 0 means 16.
	Prefetch int
	// AckWait is how long the server waits for an acknowledgement before it redelivers a message; 0
	// means 30 s. A subscriber extends the time while it handles the message, but not if it crashes.
	AckWait time.Duration
	// NackDelay returns the delay before a nacked message is redelivered, given its number of
	// deliveries. Nil means 100 ms, doubled for each delivery, up to 30 s.
	NackDelay func(deliveries int) time.Duration
	// CloseTimeout is how long Close, and the end of Subscribe's context, wait until delivered
	// messages are acked or nacked. 0 means 5 s; negative means no wait.
	CloseTimeout time.Duration
	// Heartbeat is the time within which a silent server is noticed; 0 means 500 ms.
	Heartbeat time.Duration

	Logger watermill.LoggerAdapter // nil means no logging
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

// streamName replaces characters that are invalid in a stream name.
func streamName(topic string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || strings.ContainsRune(`.*>/\`, r) {
			return '_'
		}
		return r
	}, topic)
}

// checkTopic returns an error for a topic that is not a valid subject. Wildcards are only valid for
// subscriptions to existing streams.
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
