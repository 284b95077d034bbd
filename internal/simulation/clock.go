package simulation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// clockStep is the smallest change of a clock that counts as setting the clock.
const clockStep = 5 * time.Second

// setClock reports whether the process handles a clock that was set. A process that shares its
// store does not.
func (n *node) setClock() bool { return !n.disk.Shared() && n.w.bug != BugClockIgnored }

// recallClock reads the saved state of the clock handling from the store.
func (n *node) recallClock() {
	n.retiming = 0
	kept, err := n.disk.Clock(n.w.ctx)
	if err != nil {
		n.crash("while reading the clock")
		return
	}
	if n.total = kept.Total; kept.Retimes {
		n.retimeAll()
	}
}

// readClock adopts the machine's clock if it was set. Timers then wait until all open sagas are
// retimed.
func (n *node) readClock() {
	step := n.offset - n.known
	switch {
	case !n.up:
		return
	case !n.setClock():
		n.known = n.offset
	case step.Abs() < clockStep: // slewed, not set
		return
	default:
		n.adopt(step)
	}
	if n.up && !n.recovering {
		n.look()
	}
}

func (n *node) adopt(step time.Duration) {
	w := n.w
	w.coverage[ClockSet]++
	w.record(Record{Kind: Disturbed, Who: n.name, Note: fmt.Sprintf("goes by a clock that was set by %s", step)})
	kept := store.Clock{Total: n.total + step, Retimes: true}
	if w.bug == BugRetimedTwice {
		kept.Total += step
	}
	dies := !w.healed && w.latest.chance(0.2)
	if n.known = n.offset; !dies || w.bug != BugClockKeptLast {
		_ = n.disk.SetClock(w.ctx, kept) // an in-memory store does not fail
	}
	if dies {
		n.crash("behind the marker of a clock that was set")
		return
	}
	n.total = kept.Total
	n.answered = coordinator.NewAnswered(n, func() { n.overtook = true })
	n.relay.Resend()
	n.pump(0)
	n.retimeAll()
}

// retimeAll enqueues a retiming of every open saga.
func (n *node) retimeAll() {
	n.retiming++
	cursor := ""
	for {
		found, next, err := n.disk.List(n.w.ctx, store.Filter{OpenOnly: true}, store.Page{Cursor: cursor})
		if err != nil {
			n.crash("while listing what is open")
			return
		}
		for i := range found {
			n.retiming++
			life := n.life
			n.put(work{
				input: coordinator.Input{Saga: found[i].ID, Event: machine.Event{Type: contract.EventClockAdjusted, At: n.clock()}},
				reply: func(coordinator.Result) {
					if n.life == life {
						n.retimed()
					}
				},
			})
		}
		if cursor = next; next == "" {
			break
		}
	}
	n.retimed()
}

// retimed records that one saga has been retimed.
func (n *node) retimed() {
	if n.retiming--; n.retiming == 0 && n.up {
		_ = n.disk.SetClock(n.w.ctx, store.Clock{Total: n.total})
	}
}

// virtual returns the virtual time at which the process's clock shows t.
func (n *node) virtual(t time.Time) time.Duration { return t.Sub(epoch) - n.known }

// expect schedules a check of the store's timers at the given time, unless an earlier check is
// scheduled.
func (n *node) expect(at time.Duration) {
	at = max(at, n.w.now)
	if n.lookAt >= n.w.now && n.lookAt <= at {
		return
	}
	n.lookAt = at
	n.after(at-n.w.now, func() {
		if n.lookAt == at {
			n.look()
		}
	})
}

// look wakes the sagas that are due, once all earlier answers have been taken in.
func (n *node) look() {
	n.lookAt = -1
	if n.retiming > 0 {
		n.expect(n.w.now + 50*time.Millisecond)
		return
	}
	now := n.clock()
	ids, next := n.due(now)
	if len(ids) > 0 {
		at, err := n.until(now)
		if at.IsZero() {
			n.w.coverage[TimersHeld]++
			pause := 200 * time.Millisecond
			if err != nil {
				pause = time.Second
			}
			n.expect(n.w.now + pause)
			return
		}
		if at.Before(now) {
			ids, next = n.due(at)
		}
		for _, id := range ids {
			n.timers[id], n.looks[id] = true, look{n.askedAt, n.overtook}
			n.put(work{timer: true, input: n.woken(id, at)})
		}
	}
	if next.IsZero() || !n.up {
		return
	}
	at := max(n.virtual(next), n.w.now+time.Millisecond)
	if n.disk.Shared() {
		at = min(at, n.w.now+lookEvery)
	}
	n.expect(at)
}

// due returns the sagas that are due and have not been woken yet.
func (n *node) due(at time.Time) (ids []contract.SagaID, next time.Time) {
	ids, next, err := n.disk.Due(n.w.ctx, at, 64)
	if err != nil {
		n.crash("while looking at the timers")
		return nil, time.Time{}
	}
	return slices.DeleteFunc(ids, func(id contract.SagaID) bool { return n.timers[id] }), next
}

// until returns the time up to which timers may fire.
func (n *node) until(now time.Time) (time.Time, error) {
	n.overtook = false
	if n.w.bug == BugTimersFirst {
		n.askedAt = n.w.now
		return now, nil
	}
	return n.answered.Until(n.w.ctx, now, epoch.Add(n.w.now))
}

// Newest implements transport.Tracker.
func (n *node) Newest(context.Context) (newest uint64, err error) {
	if n.cutOffNow() {
		return 0, errUncertain
	}
	n.askedAt = n.w.now
	for _, m := range n.w.bus.answers {
		if n.w.bus.lies(m) {
			newest = max(newest, m.sequence)
		}
	}
	return newest, nil
}

// TakenIn implements transport.Tracker. In the simulation, no message is returned to the bus.
func (n *node) TakenIn(_ context.Context, newest uint64) (bool, error) {
	if n.cutOffNow() {
		return false, errUncertain
	}
	return !slices.ContainsFunc(n.w.bus.answers, func(m *message) bool { return n.w.bus.lies(m) && m.sequence <= newest }), nil
}

// cutOffNow reports whether the process cannot reach the bus.
func (n *node) cutOffNow() bool {
	return n.cutUntil > n.w.now || n.w.claims != nil && n.w.claims.away(n)
}

// cutOff disconnects the process from the bus for a while.
func (n *node) cutOff() { n.cutUntil = n.w.now + n.w.latest.span(5*time.Second, 3*time.Minute) }
