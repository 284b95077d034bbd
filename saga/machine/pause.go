package machine

import "time"

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
