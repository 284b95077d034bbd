package coordinator

import (
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// FollowClock has the engine ask by how much the wall clock was set in all, at each Step, and
// retime a saga before anything else happens to it when that has changed (contract.EventClockAdjusted).
func (e *Engine) FollowClock(total func() time.Duration) { e.total = total }

// align has an input that was stamped before the wall clock was set go by what it says now.
func (e *Engine) align(input *Input) {
	if e.total == nil {
		return
	}
	input.Event.At = input.Event.At.Add(e.clock - input.Clock)
	input.Clock = e.clock
	if input.Event.Type == contract.EventStarted {
		input.Event.Clock = e.clock
	}
}

// retime has a saga go by what the wall clock says now; nil: it does.
func (e *Engine) retime(d *draft, at time.Time) ([]Applied, error) {
	if e.total == nil || d.instance == nil || !d.instance.Open() || d.instance.Clock == e.clock {
		return nil, nil
	}
	by := e.clock - d.instance.Clock
	ev := machine.Event{Type: contract.EventClockAdjusted, At: at, Clock: e.clock, Reason: "retimed by " + by.String() + ": the clock was set"}
	after, _, err := machine.Decide(d.def.Plan(), *d.instance, ev)
	if err != nil {
		return nil, fmt.Errorf("retime saga %s: %w", d.instance.ID, err)
	}
	before := d.instance.Phase
	d.instance, d.events = &after, append(d.events, ev)
	return []Applied{d.applied(before, 0)}, nil
}
