package outbox

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/internal/plural"
)

// Stats describes the backlog of a relay.
type Stats struct {
	Backlog  int           // commands waiting in memory
	UnderWay int           // records passed to the bus and not accepted yet
	Oldest   time.Duration // how long the oldest record in memory has waited
	Rescan   bool          // whether the ledger is about to be read again
	Sendable bool          // whether a record could be sent now: no backoff, and within its destination's share
	Accepted time.Time     // when the bus last accepted a command, or zero
}

// Busy reports whether some pending record has not been accepted by the bus.
func (s Stats) Busy() bool { return s.Backlog > 0 || s.UnderWay > 0 || s.Oldest > 0 || s.Rescan }

// Stats returns the current backlog.
func (r *Relay) Stats() Stats {
	now := r.options.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Stats{Backlog: r.backlog, UnderWay: r.sending, Accepted: r.acceptedAt}
	for _, lane := range r.lanes {
		s.Rescan = s.Rescan || lane.relist
		for _, l := range lane.ring {
			s.Rescan = s.Rescan || l.rescan || l.reading
			s.Oldest = max(s.Oldest, l.oldest(now))
			s.Sendable = s.Sendable || !l.idle() && !l.full && !l.paced && !l.backingOff(now)
		}
	}
	return s
}

// oldest returns how long the first record of a queue has waited, or 0 if the queue is empty.
func (l *queue) oldest(now time.Time) time.Duration {
	var oldest time.Duration
	for _, line := range []*fifo{&l.recovered, &l.fresh} {
		if line.waiting() > 0 {
			oldest = max(oldest, now.Sub(line.items[0].since), 1)
		}
	}
	return oldest
}

// OverShare returns the first of the given destinations that exceeds its share of limit, which
// bounds all waiting commands together. The share is the unused part of limit, so a single
// destination can use half of limit; the share is at least a sixteenth of limit. Commands that were
// pending at a start or a loss do not count, because new commands do not wait behind them. If no
// destination exceeds its share, OverShare returns false.
func (r *Relay) OverShare(of []Destination, limit int) (Destination, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, to := range of {
		if l := r.queues[to]; l != nil && l.fresh.waiting() >= max(limit-(r.backlog-r.recovered), limit/16, 1) {
			return to, true
		}
	}
	return "", false
}

// Pending returns the number of a participant's unanswered commands in memory. more reports whether
// the ledger has further commands.
func (r *Relay) Pending(to Destination) (commands int, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.queues[to]
	if l == nil {
		return 0, false
	}
	return l.pending, l.rescan || l.reading
}

// QueueStats describes the backlog of one destination.
type QueueStats struct {
	To           Destination
	Waiting      int           // records waiting in memory
	MoreInLedger bool          // whether further records wait in the ledger
	Oldest       time.Duration // how long the first record has waited in memory
	OnBus        int           // messages on the bus, neither answered nor expired
	Bytes        int           // approximate size of these messages
	Full         bool          // whether the share of the bus is used up; nothing is sent until the destination answers
	Problem      error         // why the bus refuses the records, or nil
	Since        time.Time     // when Problem began, or zero
}

// Queues returns the destinations with records waiting or messages on the bus, sorted by name.
func (r *Relay) Queues() []QueueStats {
	now := r.options.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []QueueStats
	for _, l := range r.queues {
		one := QueueStats{
			To: l.to, Waiting: l.waiting(), MoreInLedger: l.rescan || l.reading, Oldest: l.oldest(now),
			Full: l.full && l.waiting() > 0,
		}
		if l.waiting() > 0 || one.MoreInLedger {
			one.Problem = l.problem
		}
		if one.Problem != nil {
			one.Since = l.since
		}
		if one.OnBus, one.Bytes = l.onBus(); one.OnBus > 0 || !l.idle() {
			list = append(list, one)
		}
	}
	slices.SortFunc(list, func(a, b QueueStats) int { return cmp.Compare(a.To, b.To) })
	return list
}

// Unsent returns why a command is not on the bus yet. It returns "" if the command is on the bus,
// or if the relay does not know the reason.
func (r *Relay) Unsent(to Destination, id ID) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.queues[to]
	e, there := r.known[id]
	switch {
	case l == nil, there && e.state != waiting, !there && !l.rescan && !l.reading:
		return ""
	case l.problem != nil:
		return fmt.Sprintf("the bus refuses it: %v", l.problem)
	case l.full:
		messages, bytes := l.onBus()
		return fmt.Sprintf("%s has used up its share of the bus: %s (%s) unanswered", to, plural.Of(messages, "command", "commands"), plural.Of(bytes, "byte", "bytes"))
	case !there:
		return ""
	}
	return "not handed to the bus yet"
}

// Recovering reports whether some commands that were pending at a start or a loss of the bus have
// neither been answered nor expired. answered is when one of them was last answered, or zero.
func (r *Relay) Recovering() (more bool, answered time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	more = r.lanes[0].relist || r.lanes[0].asking
	for _, l := range r.queues {
		more = more || l.recovering || l.heldRecovered > 0
	}
	return more, r.answeredAt
}

// InFlight is a snapshot of the relay's own counts of messages on the bus.
type InFlight struct {
	messages map[Destination]int
	bytes    int64
}

// InFlight returns the relay's own counts of messages on the bus, for Held.Before.
func (r *Relay) InFlight() InFlight {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := InFlight{messages: make(map[Destination]int, len(r.queues)), bytes: r.used}
	for to, l := range r.queues {
		f.messages[to] = l.held
	}
	return f
}

// Held describes what the bus holds according to the bus itself.
type Held struct {
	Before   InFlight            // the relay's counts before the bus was asked
	Limit    int64               // bytes that the stream of commands may hold; 0 if unknown
	Used     int64               // bytes that the stream holds
	Messages map[Destination]int // number of messages by participant; without zeros
}

// Correct adjusts the relay's counts to what the bus holds. The relay cannot derive that from what
// it sent: participants acknowledge messages, messages expire, and a previous process may have sent
// some. Call it after a start and every few seconds.
func (r *Relay) Correct(held Held) {
	r.mu.Lock()
	r.room = held.Limit
	r.used += held.Used - held.Before.bytes // keeps changes since the snapshot
	for to := range held.Messages {
		r.queueOf(to)
	}
	for _, l := range r.queues {
		if l.to != Lifecycle {
			l.correction = held.Messages[l.to] - held.Before.messages[l.to]
		}
	}
	r.mu.Unlock()
	r.lanes[0].nudge()
}
