package machine

import (
	"fmt"
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
)

// DueTimer returns the event of the timer that is to fire next, of those that are due at the
// given time, and false when none is. What may turn the saga round comes first: the deadline,
// then attempts without an answer, then the next attempts, so that nothing is asked for that
// is not wanted any more. To fire all of them, decide the event and ask again.
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

// fired finds the step of a timer, or says why the timer changes nothing. Whether it is due
// is a matter of the event's own time and not of a later one: what came before that may not
// be taken in yet.
func fired(plan *Plan, in *Instance, ev *Event) (step int, ignored Ignored) {
	switch {
	case !in.Open():
		return 0, IgnoredEnded
	case in.Paused != nil, ev.Timer == contract.TimerDeadline && !in.deadlineDue(ev.At):
		return 0, IgnoredNothing
	case ev.Timer != contract.TimerTimeout && ev.Timer != contract.TimerRetry:
		return 0, "" // fire says what is wrong, if it is not the deadline
	}
	i, ok := plan.find(ev.Step)
	if !ok {
		return 0, IgnoredStep
	}
	if side := in.Steps[i].Side(ev.Direction); side.timer() != ev.Timer || side.attempt != ev.Attempt || !side.due(ev.At) {
		return 0, IgnoredNothing
	}
	return i, ""
}

// fire does what a timer of the saga, or of its step i, is for.
func (d *decision) fire(i int, ev *Event) error {
	switch ev.Timer {
	case contract.TimerDeadline:
		d.deadline()
	case contract.TimerTimeout:
		d.failed(i, ev.Direction, d.silence(i, ev), false)
	case contract.TimerRetry:
		d.attempt(i, ev.Direction)
	default:
		return fmt.Errorf("timer %q: use timeout, retry or deadline", ev.Timer)
	}
	return nil
}

// silence is why there was no answer to an attempt in time.
func (d *decision) silence(i int, ev *Event) string {
	timeout := d.plan.action(i, ev.Direction).Timeout
	if ev.Reason != "" {
		return cut(fmt.Sprintf("not sent within %s: %s", timeout, ev.Reason))
	}
	return fmt.Sprintf("no answer within %s", timeout)
}

func (in *Instance) deadlineDue(at time.Time) bool {
	return !in.Deadline.IsZero() && !in.Deadline.After(at) && !in.Overdue && in.Cause == nil && in.PendingCause == nil
}

// deadline goes back where there is a way back, waits for a pivot under way, and
// otherwise only says so.
func (d *decision) deadline() {
	if compensation.PastPivot(&d.plan.Tree, d.in.State) {
		d.in.Overdue = true
		d.eff.Announcements = append(d.eff.Announcements, Announcement{Phase: d.in.Phase, Overdue: true, Reason: "deadline passed after the point of no return"})
		return
	}
	d.turn(Cause{Kind: CauseDeadline, Reason: fmt.Sprintf("not done within %s", d.plan.Deadline)})
}

// pause holds the saga: nothing new is sent, and its timers stand still. What is
// under way is still answered, and every other decision may be taken; what follows
// from them waits.
func (d *decision) pause(ev Event) {
	d.in.Paused = &Pause{At: d.at, By: ev.By, Reason: ev.Reason}
}

// resume lets the saga go on with as much time as it had left when it was paused.
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
			d.attempt(i, d.in.Steps[i].Direction()) // at once: until then, what it was parked for may come again and park it
		}
	}
}

// clock is the time by which the saga's timers run.
func (d *decision) clock() time.Time {
	if d.in.Paused != nil {
		return d.in.Paused.At
	}
	return d.at
}

// inTime says why a saga need not be retimed; "": it has to be.
func inTime(in *Instance, clock time.Duration) Ignored {
	switch {
	case !in.Open():
		return IgnoredEnded
	case in.ClockOffset == clock:
		return IgnoredNothing
	}
	return ""
}

// retime moves all times that count from when they were set, so that as much of them is left
// as before the wall clock was set. A time at which something happened stays what it was, but
// for that of a pause, from which the timers count.
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
