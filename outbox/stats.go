package outbox

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/internal/plural"
)

// Stats is how far a relay is behind.
type Stats struct {
	Backlog  int           // commands in memory that wait to be sent
	UnderWay int           // records that were handed to the bus and not yet accepted
	Oldest   time.Duration // how long the first record of all has waited
	Rescan   bool          // the ledger is about to be read again
	Able     bool          // something could be sent now: its destination is not refused, and within its share
	Accepted time.Time     // when the bus last accepted a command; zero: it never has
}

// Busy reports whether something pending has not been accepted by the bus.
func (s Stats) Busy() bool { return s.Backlog > 0 || s.UnderWay > 0 || s.Oldest > 0 || s.Rescan }

// Stats says how far the relay is behind.
func (r *Relay) Stats() Stats {
	now := r.options.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Stats{Backlog: r.backlog, UnderWay: r.sending, Accepted: r.took}
	for _, lane := range r.lanes {
		s.Rescan = s.Rescan || lane.unlisted
		for _, l := range lane.ring {
			s.Rescan = s.Rescan || l.rescan || l.reading
			s.Oldest = max(s.Oldest, l.oldest(now))
			s.Able = s.Able || !l.idle() && !l.full && !l.waits(now)
		}
	}
	return s
}

// oldest is how long the first record of a line has waited; 0: none does.
func (l *line) oldest(now time.Time) time.Duration {
	if l.waiting() == 0 {
		return 0
	}
	return max(now.Sub(l.queue[0].since), 1)
}

// Crowded is one of some destinations that takes up its share of a limit that all
// commands which wait to be sent have in common: as much as is left of it, so that one
// alone has half; and a sixteenth at least, however many wait for others. false: none does.
func (r *Relay) Crowded(of []Destination, limit int) (Destination, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, to := range of {
		if l := r.lines[to]; l != nil && l.waiting() >= max(limit-r.backlog, limit/16, 1) {
			return to, true
		}
	}
	return "", false
}

// Pending is how many commands a participant has not answered, as far as they are in memory;
// more: there are further ones in the ledger.
func (r *Relay) Pending(to Destination) (commands int, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lines[to]
	if l == nil {
		return 0, false
	}
	return l.pending, l.rescan || l.reading
}

// Line is how far the relay is behind with one destination.
type Line struct {
	To      Destination
	Waiting int           // records in memory that wait to be sent
	Ledger  bool          // further ones wait in the ledger
	Oldest  time.Duration // how long the first of them has waited in memory
	OnBus   int           // messages that the bus holds, neither answered nor expired
	Bytes   int           // about how many bytes those are
	Full    bool          // the destination has used up its share of the bus: nothing is sent until it answers
	Problem error         // why the bus does not take what goes there; nil: it does
	Since   time.Time     // since when it does not; the zero time without Problem
}

// Lines is how far the relay is behind with each destination that waits for something, or
// for which the bus holds something; by name.
func (r *Relay) Lines() []Line {
	now := r.options.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Line
	for _, l := range r.lines {
		one := Line{
			To: l.to, Waiting: l.waiting(), Ledger: l.rescan || l.reading, Oldest: l.oldest(now),
			Full: l.full && l.waiting() > 0,
		}
		if l.waiting() > 0 || one.Ledger {
			one.Problem = l.problem
		}
		if one.Problem != nil {
			one.Since = l.since
		}
		if one.OnBus, one.Bytes = l.onBus(); one.OnBus > 0 || !l.idle() {
			list = append(list, one)
		}
	}
	slices.SortFunc(list, func(a, b Line) int { return cmp.Compare(a.To, b.To) })
	return list
}

// Unsent is why a command has not been handed over to the bus; "" when it has, or when
// that is not known.
func (r *Relay) Unsent(to Destination, id ID) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lines[to]
	e, there := r.known[id]
	switch {
	case l == nil, there && e.state != waiting, !there && !l.rescan && !l.reading:
		return ""
	case l.problem != nil:
		return fmt.Sprintf("the bus does not take it: %v", l.problem)
	case l.full:
		messages, bytes := l.onBus()
		return fmt.Sprintf("%s has %s (%s) unanswered on the bus, which is its share of it", to, plural.Of(messages, "command", "commands"), plural.Of(bytes, "byte", "bytes"))
	case !there:
		return ""
	}
	return "the bus has not taken it yet"
}

// InFlight is what the relay takes the bus to hold.
type InFlight struct {
	messages map[Destination]int
	bytes    int64
}

// InFlight is what the relay takes the bus to hold, for Held.Before.
func (r *Relay) InFlight() InFlight {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := InFlight{messages: make(map[Destination]int, len(r.lines)), bytes: r.used}
	for to, l := range r.lines {
		f.messages[to] = l.held
	}
	return f
}

// Held is what the bus holds for the participants.
type Held struct {
	Before   InFlight            // what the relay knew before the bus was asked
	Limit    int64               // bytes that the stream of commands may hold; 0: not known
	Used     int64               // bytes that it holds
	Messages map[Destination]int // of each participant that has any
}

// Correct tells the relay what the bus holds, which cannot be known from what was sent
// and answered alone: participants acknowledge, messages expire, an earlier process has
// sent some. It is for every few seconds, and after a start.
func (r *Relay) Correct(held Held) {
	r.mu.Lock()
	r.room = held.Limit
	r.used += held.Used - held.Before.bytes // what was sent and answered meanwhile stays
	for to := range held.Messages {
		r.lineOf(to)
	}
	for _, l := range r.lines {
		if l.to != Lifecycle {
			l.unseen = held.Messages[l.to] - held.Before.messages[l.to]
		}
	}
	r.mu.Unlock()
	r.lanes[0].nudge()
}
