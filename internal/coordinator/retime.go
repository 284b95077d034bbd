package coordinator

import (
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// FollowClock sets the function that returns the total by which the wall clock has been set. When
// the total has changed, Step retimes a saga (contract.EventClockAdjusted) before it applies
// anything else.
func (e *Engine) FollowClock(total func() time.Duration) { e.total = total }

// align shifts the time of an input that was stamped before the wall clock was set.
func (e *Engine) align(input *Input) {
	if e.total == nil {
		return
	}
	input.Event.At = input.Event.At.Add(e.clock - input.ClockOffset)
	input.ClockOffset = e.clock
	if input.Event.Type == contract.EventStarted {
		input.Event.ClockOffset = e.clock
	}
}

// retime adapts a saga to the new wall clock. It returns no events if the saga is adapted already.
func (e *Engine) retime(d *draft, at time.Time) ([]Applied, error) {
	if e.total == nil || d.instance == nil || !d.instance.Open() || d.instance.ClockOffset == e.clock {
		return nil, nil
	}
	by := e.clock - d.instance.ClockOffset
	ev := machine.Event{Type: contract.EventClockAdjusted, At: at, ClockOffset: e.clock, Reason: "retimed by " + by.String() + ": the clock was set"}
	after, _, err := machine.Decide(d.def.Plan(), *d.instance, ev)
	if err != nil {
		return nil, fmt.Errorf("retime saga %s: %w", d.instance.ID, err)
	}
	before := d.instance.Phase
	d.instance, d.events = &after, append(d.events, ev)
	return []Applied{d.applied(before, 0)}, nil
}
