package coordinator

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/transport"
)

// Bounds of the wait for answers before timers run.
const (
	// maxBehind is how long timers wait for the answers that lie on the bus, from when it can
	// be asked.
	maxBehind = 30 * time.Second
	// quietFor is for how long nothing may come from a bus that cannot tell what lies on it.
	quietFor = 2 * time.Second
	// lateTick is how late a look at the timers is when the process stood still.
	lateTick = time.Second
	// askPause is the time between two questions while answers wait, awayPause while the bus
	// cannot be asked.
	askPause, awayPause = 50 * time.Millisecond, time.Second
)

// Answered decides up to which moment timers may run: the answers that lay on the bus then
// have to be taken in first, or an attempt that was answered in time would time out. It is
// asked about one moment at a time, and not from two goroutines at once.
//
// A bus that is away is waited for without bound: what a timer would send could not go out.
type Answered struct {
	tracker transport.Tracker
	gaveUp  func() // is told when timers run although answers wait; nil: nobody is

	at      time.Time // the moment in question; zero: there is none
	newest  uint64    // on the bus at that moment
	asked   bool      // newest is known
	reached time.Time // when it became known, by the clock of Until's now
}

// NewAnswered makes an Answered over the source of the answers.
func NewAnswered(tracker transport.Tracker, gaveUp func()) *Answered {
	return &Answered{tracker: tracker, gaveUp: gaveUp}
}

// Until returns up to which moment timers may run: now, if nothing waits on the bus, or an
// earlier one that it was asked about before. Zero: none may, ask again in a moment. An
// error: the bus cannot be asked. running is any clock that runs evenly.
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

// forget drops the moment in question: the clock that told it was set.
func (a *Answered) forget() { a.asked = false }

// silence stands in for a bus that cannot tell what lies on it: after the start, and when the
// process stood still, timers wait until nothing has come for a while.
type silence struct {
	clock    func() time.Time
	received *atomic.Int64 // when answers last came, in Unix nanoseconds
	since    time.Time     // since when it is listened; zero: it is not
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
