package natsbus

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
)

// delivery is a received message. Its acknowledgements are messages to its reply subject, sent
// asynchronously.
type delivery struct {
	source    *source
	msg       *nats.Msg
	group     *bundle.Group   // the bundle that contained the message; nil if the message was sent alone
	message   *bundle.Message // the message in the bundle
	index     int             // index in the bundle, from 1
	envelope  transport.Envelope
	arrived   time.Time
	delivered int // number of deliveries, including this one
	answered  atomic.Bool
}

func (d *delivery) Envelope() *transport.Envelope { return &d.envelope }
func (d *delivery) Redeliveries() int             { return max(d.delivered-1, 0) }

func (d *delivery) Ack() { d.answer(ack) }

func (d *delivery) Nak(delay time.Duration) { d.answer(nak(delay)) }

const (
	ack  = "+ACK"
	term = "+TERM"
)

func nak(delay time.Duration) string {
	if delay <= 0 {
		return "-NAK"
	}
	return fmt.Sprintf(`-NAK {"delay": %d}`, delay.Nanoseconds())
}

func (d *delivery) InProgress() {
	if !d.answered.Load() {
		d.source.inProgress(d.msg)
	}
}

func (s *source) inProgress(m *nats.Msg) { s.send(m.Reply, "+WPI") }

// send sends an acknowledgement. If it is lost, the message is redelivered.
func (s *source) send(reply, word string) { _ = s.bus.nc.Publish(reply, []byte(word)) }

// answer sends the receiver's acknowledgement of the delivery. Only the first call has an effect.
func (d *delivery) answer(word string) {
	if !d.answered.Swap(true) {
		d.end(word)
	}
}

// end sends the delivery's acknowledgement. A bundle is acknowledged after all its messages have
// been acknowledged.
func (d *delivery) end(word string) {
	if d.group != nil {
		if word = d.group.Answer(word); word == "" {
			return
		}
	}
	d.source.tracked.ended(d.msg.Reply, word)
	if word == ack {
		d.source.last.ack(d.msg.Reply)
		return
	}
	d.source.send(d.msg.Reply, word)
}

// DeadLetter adds the message to the queue of dead letters. The queue acknowledges the message
// after at most 3 tries or 15 s.
func (d *delivery) DeadLetter(_ context.Context, reason string) error {
	if d.answered.Swap(true) {
		return nil
	}
	l := d.deadEntry(reason)
	l.word = ack
	if err := d.source.bus.dead.put(l); err != nil {
		d.answered.Store(false)
		return fmt.Errorf("move a message on %s to the dead letters: %w", d.envelope.Subject, err)
	}
	return nil
}

// The server's reply subject is $JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer
// sequence>.<time>.<pending>. If the reply subject has 11 tokens or more, <domain>.<account>
// follows ACK and a random token follows at the end.

func timesDelivered(reply string) int { return int(replyNumber(reply, 0)) }

func streamSequence(reply string) uint64 { return replyNumber(reply, 1) }

// storedAt returns the time at which the stream stored the message, in nanoseconds.
func storedAt(reply string) uint64 { return replyNumber(reply, 3) }

// replyNumber returns the nth number in a reply subject, or 0 if there is none.
func replyNumber(reply string, n int) uint64 {
	first := 4
	if strings.Count(reply, ".") >= 10 {
		first = 6
	}
	for range first + n {
		_, rest, ok := strings.Cut(reply, ".")
		if !ok {
			return 0
		}
		reply = rest
	}
	word, _, _ := strings.Cut(reply, ".")
	number, _ := strconv.ParseUint(word, 10, 64)
	return number
}
