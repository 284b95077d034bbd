package coordinator

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/transport"
)

// Limits on how long timers wait for answers.
const (
	// maxBehind is how long timers wait for the answers on the bus, measured from when the bus
	// first reported its newest answer.
	maxBehind = 30 * time.Second
	// quietFor applies to a bus that cannot report its content: timers run once no answer has
	// arrived for this long.
	quietFor = 2 * time.Second
	// lateTick is how late a timer check must be to mean that the process was suspended.
	lateTick = time.Second
	// askPause is the delay between two queries while answers are pending; awayPause is the delay
	// while the bus is unreachable.
	askPause, awayPause = 50 * time.Millisecond, time.Second
)

// Answered decides up to which time timers may fire. All answers that were on the bus at that time
// must be received first; otherwise an attempt that was answered in time would time out. Answered
// checks one such time after the other, and is not safe for concurrent use.
//
// Answered waits indefinitely for an unreachable bus: a timer's commands could not be published
// either.
type Answered struct {
	tracker transport.Tracker
	gaveUp  func() // called when timers run although answers are pending; may be nil

	at      time.Time // the time being checked; zero if there is none
	newest  uint64    // sequence of the newest answer on the bus at that time
	asked   bool      // whether newest is known
	reached time.Time // when newest became known, on Until's monotonic clock
}

// NewAnswered returns an Answered that tracks answers with tracker.
func NewAnswered(tracker transport.Tracker, gaveUp func()) *Answered {
	return &Answered{tracker: tracker, gaveUp: gaveUp}
}

// Until returns the time up to which timers may fire: the answers that were on the bus at that time
// have been received, or maxBehind has passed. Zero means that no timer may fire yet; call Until
// again soon. Until returns an error if the bus is unreachable. running is a monotonic clock
// reading.
func (a *Answered) Until(ctx context.Context, now, running time.Time) (time.Time, error) {
	if !a.asked {
		newest, err := a.tracker.Newest(ctx)
		if err != nil {
			return time.Time{}, err
		}
		a.at, a.newest, a.asked, a.reached = now, newest, true, running
		if newest == 0 {
			a.asked = false
			return now, nil
		}
	}
	done, err := a.tracker.TakenIn(ctx, a.newest)
	switch {
	case err != nil:
		return time.Time{}, err
	case done:
		a.asked = false
		return a.at, nil
	case running.Sub(a.reached) >= maxBehind:
		a.asked = false
		if w, ok := a.tracker.(waits); ok {
			w.giveUp()
		}
		if a.gaveUp != nil {
			a.gaveUp()
		}
		return now, nil
	}
	return time.Time{}, nil
}

// forget drops the time being checked, because the clock that it was read from has been set.
func (a *Answered) forget() { a.asked = false }

// waits is implemented by trackers that wait for something else than the bus's newest answer.
type waits interface {
	giveUp() // called when timers wait no longer
}

// silence is the Tracker for a bus that cannot report its content. After a start or a suspension of
// the process, timers wait until no answer has arrived for quietFor.
type silence struct {
	clock    func() time.Time
	received *atomic.Int64 // when answers last arrived, in Unix nanoseconds
	since    time.Time     // when the wait began; zero if nothing waits
}

func (s *silence) begin() { s.since = s.clock() }

// giveUp implements waits.
func (s *silence) giveUp() { s.since = time.Time{} }

// Newest implements transport.Tracker.
func (s *silence) Newest(context.Context) (uint64, error) {
	if s.since.IsZero() {
		return 0, nil
	}
	return 1, nil
}

// TakenIn implements transport.Tracker.
func (s *silence) TakenIn(context.Context, uint64) (bool, error) {
	now, last := s.clock(), time.Unix(0, s.received.Load())
	if now.Sub(s.since) < quietFor || now.Sub(last) < quietFor {
		return false, nil
	}
	s.since = time.Time{}
	return true, nil
}
