package machine

import (
	"fmt"
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
)

// DueTimer returns the event of the timer that must fire next among the timers that are due at the
// given time. It returns false if no timer is due. Timers that may start compensation come first,
// so that no unnecessary command is sent: the deadline, then timeouts, then retries. To fire all
// due timers, decide the event and call DueTimer again.
func DueTimer(plan *Plan, in *Instance, at time.Time) (Event, bool) {
	if !in.Open() || in.Paused != nil {
		return Event{}, false
	}
	if in.deadlineDue(at) {
		return Event{Type: contract.EventTimerFired, At: at, Timer: contract.TimerDeadline}, true
	}
	for _, timer := range [...]contract.Timer{contract.TimerTimeout, contract.TimerRetry} {
		for i := range in.Steps {
			if side := in.Steps[i].Current(); side.timer() == timer && side.due(at) {
				return Event{
					Type: contract.EventTimerFired, At: at, Timer: timer,
					Step: plan.Steps[i].Name, Direction: in.Steps[i].Direction(), Attempt: side.attempt,
				}, true
			}
		}
	}
	return Event{}, false
}

// fire executes a timer of the saga or of its step i.
func (d *decision) fire(i int, ev *Event) error {
	switch ev.Timer {
	case contract.TimerDeadline:
		d.deadline()
	case contract.TimerTimeout:
		d.failed(i, ev.Direction, d.silence(i, ev), false)
	case contract.TimerRetry:
		d.attempt(i, ev.Direction)
	default:
		return fmt.Errorf("unknown timer %q; use timeout, retry or deadline", ev.Timer)
	}
	return nil
}

// deadline starts compensation if that is possible. If a pivot is in progress, compensation starts
// only if the pivot does not complete. Past the point of no return, deadline only announces that
// the saga is overdue.
func (d *decision) deadline() {
	if compensation.PastPivot(&d.plan.Tree, d.in.State) {
		d.in.Overdue = true
		d.eff.Announcements = append(d.eff.Announcements, Announcement{Phase: d.in.Phase, Overdue: true, Reason: "deadline passed after the point of no return"})
		return
	}
	d.turn(Cause{Kind: CauseDeadline, Reason: fmt.Sprintf("not done within %s", d.plan.Deadline)})
}

// pause pauses the saga: nothing new is sent, and its timers stop. Steps in progress can still be
// answered, and other operations can be taken, but their consequences wait.
func (d *decision) pause(ev Event) {
	d.in.Paused = &Pause{At: d.at, By: ev.By, Reason: ev.Reason}
}

// resume continues the saga. Its timers have as much time left as when it was paused.
func (d *decision) resume() {
	held := d.at.Sub(d.in.Paused.At)
	d.in.Paused = nil
	if !d.in.Deadline.IsZero() && !d.in.Overdue {
		d.in.Deadline = d.in.Deadline.Add(held)
	}
	for i := range d.in.Steps {
		side := d.in.Steps[i].Current()
		side.shift(held)
		if side.state == SideRetryRequested {
			d.attempt(i, d.in.Steps[i].Direction()) // it has been due since the operator requested it
		}
	}
}

// clock returns the time that the saga's timers use.
func (d *decision) clock() time.Time {
	if d.in.Paused != nil {
		return d.in.Paused.At
	}
	return d.at
}

// retime shifts the due times of all timers, so that their remaining time is the same as before the
// wall clock was set. Times of past events stay unchanged, except for the time of a pause, because
// the timers of a paused saga count from it.
func (d *decision) retime(clock time.Duration) {
	by := clock - d.in.ClockOffset
	d.in.ClockOffset = clock
	for i := range d.in.Steps {
		d.in.Steps[i].Current().shift(by)
	}
	if d.in.Paused != nil {
		paused := *d.in.Paused
		paused.At = paused.At.Add(by)
		d.in.Paused = &paused
	}
	if !d.in.Deadline.IsZero() && !d.in.Overdue {
		d.in.Deadline = d.in.Deadline.Add(by)
	}
}
