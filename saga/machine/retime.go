package machine

import "time"

// inTime says why a saga need not be retimed; "": it has to be.
func inTime(in *Instance, clock time.Duration) Ignored {
	switch {
	case !in.Open():
		return IgnoredEnded
	case in.Clock == clock:
		return IgnoredNothing
	}
	return ""
}

// retime moves all times that count from when they were set, so that as much of them is left
// as before the wall clock was set. A time at which something happened stays what it was, but
// for that of a pause, from which the timers count.
func (d *decision) retime(clock time.Duration) {
	by := clock - d.in.Clock
	d.in.Clock = clock
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
