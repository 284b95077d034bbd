package machine

import "github.com/amends-dev/amends/contract"

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

// goBack turns the saga round. Steps between two attempts are not attempted
// again: what became of them is unknown. Steps under way are awaited.
func (d *decision) goBack(cause Cause) {
	if d.in.Cause != nil {
		return
	}
	cause.At = d.at
	d.in.Cause = &cause
	d.in.PendingCause = nil
	d.reason = cause.String()
	for i := range d.in.Steps {
		switch do := &d.in.Steps[i].Do; {
		case do.Waiting():
			d.close(i, contract.DirectionDo, SideUnknown, do.reason)
		case do.state == SideParkedUnasked:
			d.close(i, contract.DirectionDo, SideNotTaken, do.reason)
		}
	}
}
