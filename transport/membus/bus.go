package membus

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/amends-dev/amends/transport"
)

// Interfaces that Bus implements.
var (
	_ transport.Bus              = (*Bus)(nil)
	_ transport.Requester        = (*Bus)(nil)
	_ transport.Responder        = (*Bus)(nil)
	_ transport.DeadLetterOffice = (*Bus)(nil)
	_ transport.Prefixer         = (*Bus)(nil)
	_ transport.Source           = (*Source)(nil)
	_ transport.Tracker          = (*Source)(nil)
)

// Options describe a Bus. The zero value is a bus without faults.
type Options struct {
	Prefix string // first token of every subject; "" means transport.DefaultPrefix

	// Fault, if not nil, decides what happens to each accepted envelope. It is called under the
	// bus's lock, in the order of publishing. It must not call the bus.
	Fault func(stream transport.Stream, e *transport.Envelope) Fate

	// Now is the clock; nil means time.Now. A program that advances the clock itself uses
	// TryReceive, because Receive waits with real timers.
	Now func() time.Time

	Duplicates time.Duration // deduplication window; 0 means 2 min; negative means none
	MaxPayload int           // bytes of data per envelope; 0 means 1 MiB
	MaxPending int           // messages in a work queue above which Publish returns ErrFull; 0 means no limit
	Retain     int           // messages that lifecycle and dead-letters each keep; the oldest are removed; 0 means 100,000
}

// Fate describes what happens to an accepted envelope. With the zero value, it is delivered once,
// in order, and without delay.
type Fate struct {
	Refuse    error         // Publish returns this error, and nothing else happens
	Drop      bool          // the envelope is lost after acceptance, but its DedupID is remembered
	Duplicate int           // number of additional copies
	Delay     time.Duration // the envelope arrives after this delay
	Reorder   bool          // the envelope overtakes all waiting ones
}

// Bus is a transport.Bus in memory, created by New.
type Bus struct {
	options  Options
	subjects transport.Subjects
	resets   chan struct{}

	mu         sync.Mutex
	closed     bool
	streams    map[transport.Stream]*stream
	order      int64 // order of arrival; increases
	ahead      int64 // order of arrivals that overtake; decreases
	responders []*responder
	turn       int // index of the next responder in a queue
}

// New returns an empty bus.
func New(options Options) *Bus {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Duplicates == 0 {
		options.Duplicates = 2 * time.Minute
	}
	if options.MaxPayload == 0 {
		options.MaxPayload = 1 << 20
	}
	if options.Retain == 0 {
		options.Retain = 100_000
	}
	b := &Bus{
		options:  options,
		subjects: transport.Subjects{Prefix: options.Prefix},
		resets:   make(chan struct{}, 1),
		streams:  map[transport.Stream]*stream{},
	}
	for _, name := range transport.Streams {
		b.streams[name] = newStream(name)
	}
	return b
}

// Prefix implements transport.Prefixer.
func (b *Bus) Prefix() string { return cmp.Or(b.subjects.Prefix, transport.DefaultPrefix) }

// Publish implements transport.Bus. It never blocks.
func (b *Bus) Publish(ctx context.Context, batch []transport.Envelope) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for i := range batch {
		err := ctx.Err()
		if err == nil {
			err = b.accept(&batch[i])
		}
		if err != nil {
			if errs == nil {
				errs = make([]error, len(batch))
			}
			errs[i] = fmt.Errorf("publish on %s: %w", batch[i].Subject, err)
		}
	}
	return errs
}

func (b *Bus) accept(e *transport.Envelope) error {
	if b.closed {
		return transport.ErrClosed
	}
	name, err := b.subjects.StreamOf(e.Subject)
	if err != nil {
		return err
	}
	if len(e.Data) > b.options.MaxPayload {
		return fmt.Errorf("%w: %d bytes of data, at most %d", transport.ErrTooLarge, len(e.Data), b.options.MaxPayload)
	}
	s := b.streams[name]
	if name.WorkQueue() && b.options.MaxPending > 0 && len(s.messages) >= b.options.MaxPending {
		return transport.ErrFull
	}
	var fate Fate
	if b.options.Fault != nil {
		fate = b.options.Fault(name, e)
	}
	if fate.Refuse != nil {
		return fate.Refuse
	}
	now := b.options.Now()
	if s.seenBefore(e.DedupID, now, b.options.Duplicates) || fate.Drop {
		return nil
	}
	due := now.Add(fate.Delay)
	if fate.Reorder && fate.Delay == 0 {
		due = time.Time{} // sorts before all waiting messages
	}
	for range 1 + fate.Duplicate {
		b.store(s, *e, due, fate.Reorder)
	}
	return nil
}

// store appends a message and queues it for every consumer that receives it.
func (b *Bus) store(s *stream, e transport.Envelope, due time.Time, overtakes bool) *message {
	e.Data = slices.Clone(e.Data)
	if overtakes {
		b.ahead--
	}
	b.order++
	s.sequence++
	m := &message{sequence: s.sequence, envelope: e, due: due, order: b.order}
	if overtakes {
		m.order = b.ahead
	}
	s.add(m)
	if !s.name.WorkQueue() {
		s.trim(b.options.Retain)
	}
	for _, c := range s.consumers {
		c.offer(m)
	}
	return m
}

// Subscribe implements transport.Bus.
func (b *Bus) Subscribe(ctx context.Context, sub transport.Subscription) (transport.Source, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, transport.ErrClosed
	}
	s, ok := b.streams[sub.Stream]
	if !ok {
		return nil, fmt.Errorf("subscribe to stream %q: unknown stream", sub.Stream)
	}
	c, err := s.consumer(sub)
	if err != nil {
		return nil, fmt.Errorf("subscribe %s to %s: %w", sub.Name, sub.Stream, err)
	}
	return &Source{bus: b, consumer: c, done: make(chan struct{}), taken: map[*item]*delivery{}}, nil
}

// Resets implements transport.Bus.
func (b *Bus) Resets() <-chan struct{} { return b.resets }

// Forget drops all accepted messages, including those in flight, and the deduplication window. It
// signals Resets. Subscriptions stay.
func (b *Bus) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.streams {
		s.forget()
	}
	select {
	case b.resets <- struct{}{}:
	default:
	}
}

// NextDue returns when the next message will become available because a delay or an AckWait ends.
// It returns false if no message is waiting.
func (b *Bus) NextDue() (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var next time.Time
	found := false
	for _, s := range b.streams {
		for _, c := range s.consumers {
			if due, ok := c.nextDue(); ok && (!found || due.Before(next)) {
				next, found = due, true
			}
		}
	}
	return next, found
}

// Pending returns the number of messages in a stream. For a work queue, these are the
// unacknowledged messages.
func (b *Bus) Pending(stream transport.Stream) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.streams[stream].messages)
}

// Close closes all sources. All later calls fail.
func (b *Bus) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, s := range b.streams {
		for _, c := range s.consumers {
			c.wake()
		}
	}
}
