package simulation

import (
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/coordinator"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// clockStep is the least by which a clock is set.
const clockStep = 5 * time.Second

// setClock reports whether the process does something about a clock that is set: one that
// shares its store does not.
func (n *node) setClock() bool { return !n.disk.Shared() && n.w.bug != BugClockIgnored }

// recallClock reads from the store what was done about the clock before.
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

// readClock adopts the clock of the machine as it is: its timers wait until all sagas go by
// it.
func (n *node) readClock() {
	step := n.offset - n.known
	switch {
	case !n.up:
		return
	case !n.setClock():
		n.known = n.offset
	case step.Abs() < clockStep: // it is slewed, which is no fault of the kind
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
		_ = n.disk.SetClock(w.ctx, kept) // a store in memory
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

// retimeAll has every open saga retimed.
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

// retimed counts one saga less that is to be retimed.
func (n *node) retimed() {
	if n.retiming--; n.retiming == 0 && n.up {
		_ = n.disk.SetClock(n.w.ctx, store.Clock{Total: n.total})
	}
}
