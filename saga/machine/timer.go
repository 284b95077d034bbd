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

// attempt sends the next attempt of a step that was asked for before.
func (d *decision) attempt(i int, dir contract.Direction) {
	payload, err := d.data(i, dir)
	if err != nil {
		d.park(i, dir, SideParkedUnknown, err.Error())
		return
	}
	d.send(i, dir, payload)
}

func (d *decision) data(i int, dir contract.Direction) ([]byte, error) {
	if dir == contract.DirectionUndo {
		return d.undoData(i)
	}
	return d.request(i)
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

// turn goes back, or remembers to when the pivot, which is in progress, has ended.
func (d *decision) turn(cause Cause) {
	if d.pivotUnderWay() {
		cause.At = d.at
		d.in.PendingCause = &cause
		return
	}
	d.goBack(cause)
}

func (d *decision) pivotUnderWay() bool {
	for i := range d.in.Steps {
		if d.plan.Steps[i].Kind == contract.KindPivot && d.in.Steps[i].Do.open() {
			return true
		}
	}
	return false
}

// backoff is the wait after an attempt: InitialInterval, doubled with each attempt, at
// most MaxInterval, of which a hash of the key and the attempt leaves between a half and
// all. The hash is the jitter: spread over sagas, the same in every replay (I6).
func backoff(action *Action, key contract.Key, attempt int) time.Duration {
	wait, limit := action.InitialInterval, action.MaxInterval
	for range attempt - 1 {
		if wait >= limit/2 {
			wait = limit
			break
		}
		wait *= 2
	}
	wait = min(wait, limit)
	half := wait / 2
	if half <= 0 {
		return wait
	}
	return half + time.Duration(hash(key, attempt)%uint64(half+1))
}

// hash is FNV-1a with a final mix, so that neighbouring attempts differ in all
// bits. The key's birth has no part in it, nor has the wire's word for the direction: the
// jitter of recorded histories stays.
func hash(key contract.Key, attempt int) uint64 {
	const prime = 1099511628211
	direction := "do"
	if key.Direction == contract.DirectionUndo {
		direction = "undo"
	}
	h := uint64(14695981039346656037)
	for _, part := range [...]string{string(key.Saga), string(key.Step), direction} {
		for i := range len(part) {
			h = (h ^ uint64(part[i])) * prime
		}
		h = (h ^ 0xff) * prime
	}
	h = (h ^ uint64(attempt)) * prime
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>29
}
