package machine

import (
	"fmt"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
)

// How the sides of a step move. What else follows from it is in their callers.

// begin asks for one direction of a step.
func (d *decision) begin(i int, dir contract.Direction, payload []byte) {
	side := d.in.Steps[i].Side(dir)
	*side = Side{}
	side.allow(d.plan.action(i, dir).Attempts)
	d.send(i, dir, payload)
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

// send enqueues the next attempt's command.
func (d *decision) send(i int, dir contract.Direction, payload []byte) {
	side, action := d.in.Steps[i].Side(dir), d.plan.action(i, dir)
	d.discard(i, dir)
	side.ask(d.at.Add(action.Timeout), d.in.Revision)
	contentType := ""
	if dir == contract.DirectionDo && d.plan.Steps[i].Mapping == nil {
		contentType = d.in.ContentType
	}
	d.eff.Commands = append(d.eff.Commands, Command{
		Index: i, Step: d.plan.Steps[i].Name, Direction: dir, Attempt: side.attempt,
		Participant: action.Participant, Action: action.Action,
		Payload: payload, ContentType: contentType, Expires: side.at,
	})
}

// wait lets the next attempt follow later.
func (d *decision) wait(i int, dir contract.Direction, state SideState, due time.Time, reason string) {
	d.discard(i, dir)
	d.in.Steps[i].Side(dir).wait(state, due, reason)
}

// park lets a step wait for an operator.
func (d *decision) park(i int, dir contract.Direction, state SideState, reason string) {
	d.discard(i, dir)
	side := d.in.Steps[i].Side(dir)
	side.park(state, d.at, cut(reason))
	d.reason = fmt.Sprintf("%s: %s", d.plan.Steps[i].Name, side.reason)
}

// close ends one direction of a step.
func (d *decision) close(i int, dir contract.Direction, state SideState, reason string) {
	d.discard(i, dir)
	d.in.Steps[i].Side(dir).end(state, reason)
}

// discard says that the step's last command is not pending any more.
func (d *decision) discard(i int, dir contract.Direction) {
	side := d.in.Steps[i].Side(dir)
	if side.command != 0 {
		d.eff.Discarded = append(d.eff.Discarded, CommandRef{Index: i, Step: d.plan.Steps[i].Name, Direction: dir, Revision: side.command})
		side.command = 0
	}
}

// cut shortens a reason to MaxReason bytes and makes it valid UTF-8.
func cut(reason string) string {
	reason = strings.ToValidUTF8(reason, "�")
	if len(reason) <= contract.MaxReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:contract.MaxReason-len("…")], "") + "…"
}
