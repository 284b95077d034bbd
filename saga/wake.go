package saga

import (
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
)

// timely says why nothing is due; "": something is.
func timely(in *Instance, at time.Time) Ignored {
	if !in.Open() {
		return IgnoredEnded
	}
	if in.Paused != nil {
		return IgnoredNothing
	}
	if in.deadlineDue(at) {
		return ""
	}
	for i := range in.Steps {
		if in.Steps[i].Current().due(at) {
			return ""
		}
	}
	return IgnoredNothing
}

// wake does everything that is due: first what may turn the saga round (the
// deadline, attempts without answer), then the next attempts, so that nothing is
// asked for that is not wanted any more.
func (d *decision) wake(ev *Event) {
	var room [few]int
	due := d.due(room[:0], ev.At)
	if d.in.deadlineDue(ev.At) {
		d.deadline()
	}
	for _, i := range due {
		if s := &d.in.Steps[i]; s.Current().state == SideAwaitingAnswer {
			dir := s.Direction()
			d.failed(i, dir, d.silence(i, dir, ev), false)
		}
	}
	for _, i := range due {
		if s := &d.in.Steps[i]; s.Current().Waiting() && s.Current().due(ev.At) {
			d.attempt(i, s.Direction())
		}
	}
}

// silence is why there was no answer to an attempt in time.
func (d *decision) silence(i int, dir Direction, ev *Event) string {
	timeout := time.Duration(d.def.action(i, dir).Timeout)
	if slices.Contains(ev.Unsent, d.def.steps[i].Name) {
		return cut(fmt.Sprintf("not sent within %s: %s", timeout, ev.Reason))
	}
	return fmt.Sprintf("no answer within %s", timeout)
}

// due appends the steps whose time has come.
func (d *decision) due(due []int, at time.Time) []int {
	for i := range d.in.Steps {
		if d.in.Steps[i].Current().due(at) {
			due = append(due, i)
		}
	}
	return due
}

// attempt sends the next attempt of a step that was asked for before.
func (d *decision) attempt(i int, dir Direction) {
	payload, err := d.data(i, dir)
	if err != nil {
		d.park(i, dir, SideParkedUnknown, err.Error())
		return
	}
	d.send(i, dir, payload)
}

func (d *decision) data(i int, dir Direction) ([]byte, error) {
	if dir == DirectionUndo {
		return d.undoData(i)
	}
	return d.request(i)
}

func (in *Instance) deadlineDue(at time.Time) bool {
	return !in.Deadline.IsZero() && !in.Deadline.After(at) && !in.Overdue && in.Cause == nil && in.Cancel == nil
}

// deadline goes back where there is a way back, waits for a pivot under way, and
// otherwise only says so.
func (d *decision) deadline() {
	if compensation.BeyondReturn(&d.def.tree, d.in.State) {
		d.in.Overdue = true
		d.eff.Announcements = append(d.eff.Announcements, Announcement{Phase: d.in.Phase, Overdue: true, Reason: "deadline passed beyond the point of no return"})
		return
	}
	d.turn(Cause{Why: WhyDeadline, Reason: fmt.Sprintf("not done within %s", time.Duration(d.def.spec.Deadline))})
}

// turn goes back, or remembers to when the pivot, which is under way, settles.
func (d *decision) turn(cause Cause) {
	if d.pivotUnderWay() {
		cause.At = d.at
		d.in.Cancel = &cause
		return
	}
	d.goBack(cause)
}

func (d *decision) pivotUnderWay() bool {
	for i := range d.in.Steps {
		if d.def.steps[i].Kind == KindPivot && d.in.Steps[i].Do.open() {
			return true
		}
	}
	return false
}

// backoff is the wait after an attempt: First, doubled with each attempt, at
// most Cap, of which a hash of the key and the attempt leaves between a half and
// all. The hash is the jitter: spread over sagas, the same in every replay (I6).
func backoff(policy RetryPolicy, key contract.Key, attempt int) time.Duration {
	wait, limit := time.Duration(policy.First), time.Duration(policy.Cap)
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
	if key.Direction == DirectionUndo {
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
