package coordinator

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/transport"
)

// Bounds of waiting for answers before timers run.
const (
	// maxBehind is how long timers wait for the answers on the bus, from when the bus can be
	// asked.
	maxBehind = 30 * time.Second
	// quietFor is how long no answer may arrive from a bus that cannot report its content, before
	// timers run.
	quietFor = 2 * time.Second
	// lateTick is how late a check of the timers must be to show that the process stood still.
	lateTick = time.Second
	// askPause is the delay between two questions while answers wait, awayPause while the bus
	// cannot be asked.
	askPause, awayPause = 50 * time.Millisecond, time.Second
)

// Answered decides up to which moment timers may run. The answers that were on the bus at that
// moment must be received first, or an attempt that was answered in time would time out. It
// handles one moment at a time, and is not safe for concurrent use.
//
// It waits for an unreachable bus without bound, because what a timer sends could not be published
// either.
type Answered struct {
	tracker transport.Tracker
	gaveUp  func() // is called when timers run although answers wait; may be nil

	at      time.Time // the moment in question; zero: none
	newest  uint64    // sequence on the bus at that moment
	asked   bool      // newest is known
	reached time.Time // when it became known, by Until's running
}

// NewAnswered returns an Answered for the source of the answers.
func NewAnswered(tracker transport.Tracker, gaveUp func()) *Answered {
	return &Answered{tracker: tracker, gaveUp: gaveUp}
}

// Until returns up to which moment timers may run: the answers that were on the bus then have been
// received, or maxBehind has passed. Zero means that no timer may run yet; call it again soon. An
// error means that the bus cannot be asked. running is the time of a monotonic clock.
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
		if s, ok := a.tracker.(*silence); ok {
			s.since = time.Time{}
		}
		if a.gaveUp != nil {
			a.gaveUp()
		}
		return now, nil
	}
	return time.Time{}, nil
}

// forget drops the moment in question, because the clock that it comes from was set.
func (a *Answered) forget() { a.asked = false }

// silence is the Tracker for a bus that cannot report its content: after the start, and after the
// process stood still, timers wait until no answer has arrived for a while.
type silence struct {
	clock    func() time.Time
	received *atomic.Int64 // when answers last arrived, in Unix nanoseconds
	since    time.Time     // when the wait began; zero: there is none
}

func (s *silence) begin() { s.since = s.clock() }

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
