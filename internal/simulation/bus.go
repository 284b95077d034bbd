package simulation

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amends-dev/amends/transport"
)

// ackWait is how long the bus waits for an acknowledgement before it delivers a
// message again.
const ackWait = 5 * time.Second

// Errors of the bus: it refused the message, it may have accepted the message, or it will never
// accept the message.
var (
	errRefused   = fmt.Errorf("%w: the stream is full", transport.ErrRefused)
	errUncertain = errors.New("the bus does not answer")
	errForbidden = fmt.Errorf("%w: it is too large", transport.ErrRefusedForGood)
)

// bus is the simulated bus: it delivers each message at least once and in any order, unless a fault
// loses or corrupts the message.
type bus struct {
	w         *world
	forgotten int        // number of times it has lost all messages
	sequence  uint64     // number of messages that have arrived
	answers   []*message // answers on the bus; may include acknowledged answers
	sender    *node      // coordinator that is publishing, in runs with claims
}

// message is one copy of an envelope on the bus.
type message struct {
	envelope transport.Envelope
	stream   transport.Stream
	done     bool
	under    *tenure       // claim under which a coordinator sent it, in runs with claims
	age      int           // value of bus.forgotten when the message was accepted
	deliver  func()        // closure that calls bus.deliver for this message
	damaged  bool          // differs from what was sent
	sequence uint64        // position in its stream; 0 before it arrives
	arrived  time.Duration // when it reached its stream
}

// lies reports whether a message is still on the bus.
func (b *bus) lies(m *message) bool { return !m.done && m.age == b.forgotten }

// publish accepts or refuses an envelope.
func (b *bus) publish(e *transport.Envelope) error {
	w := b.w
	if e.Type == transport.TypeCommand && w.faulty(BusForbids) {
		return errForbidden
	}
	if w.faulty(BusRefuses) {
		switch chosen := w.rng.IntN(3); {
		case chosen == 0 || e.Type != transport.TypeCommand:
			return errRefused
		case chosen == 1:
			return errUncertain
		}
		return cmp.Or(b.take(e), errUncertain)
	}
	return b.take(e)
}

// take accepts an envelope and schedules its delivery.
func (b *bus) take(e *transport.Envelope) error {
	w := b.w
	stream, err := transport.Subjects{}.StreamOf(e.Subject)
	if err != nil {
		return err
	}
	if stream == transport.StreamLifecycle {
		return nil
	}
	if w.faulty(BusLoses) {
		return nil
	}
	copies := 1
	if w.faulty(BusDuplicates) {
		copies = w.rng.between(2, 4)
	}
	for range copies {
		m := &message{envelope: *e, stream: stream, age: b.forgotten}
		if b.sender != nil {
			m.under = b.sender.sends
		}
		m.deliver = func() { b.deliver(m) }
		if w.faulty(BusCorrupts) {
			m.damaged = true
			b.corrupt(&m.envelope)
		}
		delay := time.Millisecond
		if w.rng.chance(w.mix[BusReorders]) && !w.healed {
			w.faults[BusReorders]++
			delay = w.rng.span(time.Millisecond, 200*time.Millisecond)
		}
		if w.faulty(BusDelays) {
			delay = w.rng.span(time.Second, 100*time.Second)
		}
		w.after(delay, m.deliver)
	}
	return nil
}

// deliver delivers a message to its consumer, and repeats that until the message is
// acknowledged.
func (b *bus) deliver(m *message) {
	if !b.lies(m) {
		return
	}
	if m.sequence == 0 {
		b.arrive(m)
	}
	switch {
	case b.w.claims != nil && !b.w.claims.deliver(m):
	case m.stream == transport.StreamCommands:
		b.service(m).receive(m)
	case b.w.claims == nil:
		n := b.reachable(pick(b.w.rng, b.w.nodes))
		if n.cutUntil > b.w.now {
			b.w.after(n.cutUntil-b.w.now+b.w.latest.span(time.Millisecond, 2*time.Second), m.deliver)
			return
		}
		n.receive(m)
	}
	b.w.after(ackWait, m.deliver)
}

// arrive records that a message has reached its stream.
func (b *bus) arrive(m *message) {
	b.sequence++
	m.sequence, m.arrived = b.sequence, b.w.now
	if m.stream == transport.StreamEvents {
		b.answers = append(slices.DeleteFunc(b.answers, func(m *message) bool { return !b.lies(m) }), m)
	}
}

// reachable returns the chosen coordinator if it can reach the bus, and otherwise the coordinator
// that can reach the bus again first.
func (b *bus) reachable(chosen *node) *node {
	if chosen.cutUntil <= b.w.now {
		return chosen
	}
	for _, n := range b.w.nodes {
		if n.cutUntil < chosen.cutUntil {
			chosen = n
		}
	}
	return chosen
}

// service returns the participant named in a command's subject.
func (b *bus) service(m *message) *service {
	tokens := strings.Split(m.envelope.Subject, ".")
	if s := b.w.services[tokens[min(2, len(tokens)-1)]]; s != nil {
		return s
	}
	return b.w.services[serviceName(0)]
}

// forget loses all messages. Coordinators notice the loss within two seconds.
func (b *bus) forget() {
	b.forgotten++
	if b.w.claims != nil {
		b.w.claims.wipe()
		return
	}
	for _, n := range b.w.nodes {
		n.after(b.w.rng.span(time.Millisecond, 2*time.Second), func() {
			n.relay.Resend()
			n.pump(0)
		})
	}
}

// corrupt damages a message in one of the ways that a receiver can detect.
func (b *bus) corrupt(e *transport.Envelope) {
	d := b.w.rng
	tokens := strings.Split(e.Subject, ".")
	command := e.Type == transport.TypeCommand
	switch d.IntN(6) {
	case 0:
		e.Type = "dev.amends.nonsense.v1"
	case 1:
		e.Data = []byte(`{"cut": `)
	case 2:
		e.Subject = strings.Join(tokens[:len(tokens)-1], ".")
	case 3:
		e.Subject += ".x"
	case 4: // an id of a different saga
		tokens[3] = "nobody"
		e.Subject = strings.Join(tokens, ".")
	default: // an answer of a different participant, or to an attempt that was not made
		if command || tokens[2] != b.w.owner(e, e.Step) {
			return // damage must not turn a forged answer into a genuine one
		}
		tokens[2] = serviceName(d.IntN(services))
		if d.chance(0.5) {
			tokens[len(tokens)-1] = "99"
		}
		e.Subject = strings.Join(tokens, ".")
	}
}
