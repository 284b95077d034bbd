package machine

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Transitions of a step's sides. Only the functions in this file change a side. The callers of the
// methods of decision handle the consequences.

// begin requests one direction of a step.
func (d *decision) begin(i int, dir contract.Direction, payload []byte) {
	side := d.in.Steps[i].Side(dir)
	*side = Side{}
	side.allow(d.plan.action(i, dir).Attempts)
	d.send(i, dir, payload)
}

// allow permits the given number of further attempts.
func (s *Side) allow(attempts int) { s.maxAttempt, s.reason = s.attempt+attempts, "" }

// attempt sends the next attempt of a step that was requested before.
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

// ask starts the next attempt.
func (s *Side) ask(due time.Time, command uint64) {
	s.state, s.attempt, s.at, s.command = SideAwaitingAnswer, s.attempt+1, due, command
}

// wait schedules the next attempt.
func (d *decision) wait(i int, dir contract.Direction, state SideState, due time.Time, reason string) {
	d.discard(i, dir)
	d.in.Steps[i].Side(dir).wait(state, due, reason)
}

// wait schedules the next attempt.
func (s *Side) wait(state SideState, due time.Time, reason string) {
	s.state, s.at, s.command, s.reason = state, due, 0, reason
}

// park makes a step wait for an operator.
func (d *decision) park(i int, dir contract.Direction, state SideState, reason string) {
	d.discard(i, dir)
	side := d.in.Steps[i].Side(dir)
	side.park(state, d.at, cut(reason))
	d.reason = fmt.Sprintf("%s: %s", d.plan.Steps[i].Name, side.reason)
}

// park makes the side wait for an operator.
func (s *Side) park(state SideState, since time.Time, reason string) {
	s.state, s.at, s.command, s.reason = state, since, 0, reason
}

// close ends one direction of a step.
func (d *decision) close(i int, dir contract.Direction, state SideState, reason string) {
	d.discard(i, dir)
	d.in.Steps[i].Side(dir).end(state, reason)
}

// end ends the side. With SideNotTaken the attempts are reset, because nothing was sent. With
// SideIdle the side is as if it had never been requested.
func (s *Side) end(state SideState, reason string) {
	s.state, s.at, s.command, s.reason = state, time.Time{}, 0, reason
	switch state {
	case SideNotTaken:
		s.attempt = 0
	case SideIdle:
		*s = Side{}
	}
}

// stop removes the timer of a side whose saga is abandoned. A side between two attempts then counts
// as awaiting an answer.
func (s *Side) stop() {
	if s.timed() {
		s.state, s.at, s.command = SideAwaitingAnswer, time.Time{}, 0
	}
}

// shift moves Due by a duration.
func (s *Side) shift(by time.Duration) {
	if s.timed() && !s.at.IsZero() {
		s.at = s.at.Add(by)
	}
}

// discard records that the step's last command is no longer pending.
func (d *decision) discard(i int, dir contract.Direction) {
	side := d.in.Steps[i].Side(dir)
	if side.command != 0 {
		d.eff.Discarded = append(d.eff.Discarded, CommandRef{Index: i, Step: d.plan.Steps[i].Name, Direction: dir, Revision: side.command})
		side.command = 0
	}
}

// key returns the idempotency key of one direction of a step.
func (d *decision) key(i int, dir contract.Direction) contract.Key {
	return contract.Key{Saga: d.in.ID, Birth: d.in.Birth(), Step: d.plan.Steps[i].Name, Direction: dir}
}

// cut truncates a reason to MaxReason bytes and makes it valid UTF-8.
func cut(reason string) string { return contract.Cut(reason, contract.MaxReason) }

// data returns the data of one direction of a step.
func (d *decision) data(i int, dir contract.Direction) ([]byte, error) {
	if dir == contract.DirectionUndo {
		return d.undoData(i)
	}
	return d.request(i)
}

// request returns the data of a step's do.
func (d *decision) request(i int) ([]byte, error) {
	steps := d.in.Steps // a copy, because the mapping may retain the closure
	request, err := d.mappings.request(d.plan, i, d.in.Input, func(step int) []byte { return steps[step].Result })
	if errors.Is(err, ErrCostly) {
		d.costly = true
	}
	if err == nil && len(request) > contract.MaxPayload {
		err = fmt.Errorf("the request of step %s would be %d bytes long; at most %d are allowed (MaxPayload)", d.plan.Steps[i].Name, len(request), contract.MaxPayload)
	}
	if err == nil && d.plan.Steps[i].Mapping != nil {
		if wrong := contract.CheckJSON(request); wrong != nil { // for example, it is nested more deeply than its inputs
			err = fmt.Errorf("the request of step %s would not be valid JSON: %w", d.plan.Steps[i].Name, wrong)
		}
	}
	return request, err
}

// undoData returns the data of a step's undo: {"request": …, "result": …}. Data that is not JSON is
// encoded as a base64 string, which encoding/json decodes into a []byte.
func (d *decision) undoData(i int) ([]byte, error) {
	request, err := d.request(i)
	if err != nil {
		return nil, err
	}
	if d.plan.Steps[i].Mapping == nil && !contract.IsJSON(d.in.ContentType) {
		request = quoted(request)
	}
	result := d.in.Steps[i].Result
	if len(result) == 0 {
		result = []byte("null")
	}
	if len(request) == 0 {
		request = []byte("null")
	}
	var b bytes.Buffer
	b.Grow(len(request) + len(result) + len(`{"request":,"result":}`))
	b.WriteString(`{"request":`)
	b.Write(request)
	b.WriteString(`,"result":`)
	b.Write(result)
	b.WriteByte('}')
	return b.Bytes(), nil
}

func quoted(data []byte) []byte {
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(data))+2)
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, data)
	return append(out, '"')
}
