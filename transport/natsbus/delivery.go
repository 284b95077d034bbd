package natsbus

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
)

// delivery is a received message. Its answers are messages to its reply subject:
// asynchronous, sent with whatever else goes out.
type delivery struct {
	source    *source
	msg       *nats.Msg
	opened    *opened // the bundle it came in; nil: it came alone, as msg
	place     int     // in the bundle
	envelope  transport.Envelope
	arrived   time.Time
	delivered int // how often, this time included
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

func (s *source) inProgress(m *nats.Msg) { _ = s.bus.nc.Publish(m.Reply, []byte("+WPI")) }

// answer sends the one answer that ends the delivery; of a bundle, when each of its
// messages has one.
func (d *delivery) answer(word string) {
	if d.answered.Swap(true) {
		return
	}
	if d.opened != nil {
		if word = d.opened.answered(word); word == "" {
			return
		}
	}
	crashpoint.Here("natsbus: before an answer to the server")
	_ = d.source.bus.nc.Publish(d.msg.Reply, []byte(word)) // lost: it comes again
}

func (d *delivery) DeadLetter(ctx context.Context, reason string) error {
	if d.answered.Load() {
		return nil
	}
	if err := d.source.bus.storeLetters(ctx, []*letter{d.letter(reason)})[0]; err != nil {
		return fmt.Errorf("move a message on %s to the dead letters: %w", d.envelope.Subject, err)
	}
	crashpoint.Here("natsbus: dead letter stored")
	d.Ack()
	return nil
}

// letter is the delivery on its way to the dead letters.
func (d *delivery) letter(reason string) *letter {
	l := &letter{delivery: d, source: d.source, msg: d.msg, reason: reason}
	if d.opened != nil {
		l.place = d.place + 1
		l.msg, l.block = d.opened.frames[d.place].message(d.msg.Reply)
	}
	return l
}

// The server's reply subject is
// $JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<time>.<pending>,
// with <domain>.<account> behind ACK, and a random token at the end, when there
// are 11 tokens or more.

func timesDelivered(reply string) int { return int(replyNumber(reply, 0)) }

func streamSequence(reply string) uint64 { return replyNumber(reply, 1) }

// storedAt is when the stream took the message, in nanoseconds.
func storedAt(reply string) uint64 { return replyNumber(reply, 3) }

// replyNumber is the nth of the numbers in a reply subject; 0 if there is none.
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
