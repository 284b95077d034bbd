package machine

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
)

// advance requests everything that may begin now, and ends the saga if nothing is left to do.
func (d *decision) advance() {
	if !d.in.Open() {
		return
	}
	if d.in.Cause == nil && d.forward() {
		d.end(contract.PhaseCompleted)
		return
	}
	if d.in.Cause != nil && d.backward() {
		d.end(contract.PhaseCompensated)
		return
	}
	d.in.Phase = contract.PhaseRunning
	if d.in.Cause != nil {
		d.in.Phase = contract.PhaseCompensating
	}
	for i := range d.in.Steps {
		if d.in.Steps[i].Current().Parked() {
			d.in.Phase = contract.PhaseParked
		}
	}
}

// forward requests every step whose do may begin now, unless the saga is paused. It computes all
// requests first: if one cannot be computed, the saga compensates before any request is sent.
func (d *decision) forward() (done bool) {
	var ready []int
	done = compensation.Forward(&d.plan.Tree, d.in.State, func(i int) {
		if d.in.Steps[i].Do.state == SideIdle {
			ready = append(ready, i)
		}
	})
	if d.in.Paused != nil {
		return done
	}
	requests := make([][]byte, len(ready))
	for k, i := range ready {
		request, err := d.request(i)
		requests[k] = request
		switch {
		case err == nil:
		case d.plan.Steps[i].Kind == contract.KindRetriable:
			d.park(i, contract.DirectionDo, SideParkedUnasked, err.Error())
		default:
			d.close(i, contract.DirectionDo, SideNotTaken, cut(err.Error()))
			d.goBack(Cause{Kind: CauseMappingFailed, Step: d.plan.Steps[i].Name, Reason: cut(err.Error())})
			return false
		}
	}
	for k, i := range ready {
		if d.in.Steps[i].Do.state == SideIdle {
			d.begin(i, contract.DirectionDo, requests[k])
		}
	}
	return done
}

// backward requests every undo that may run now, unless the saga is paused. No undo may run before
// all dos in progress have ended.
func (d *decision) backward() (undone bool) {
	var ready []int
	undone = compensation.Backward(&d.plan.Tree, d.in.State, func(i int) { ready = append(ready, i) })
	if d.in.Paused != nil {
		return undone
	}
	for _, i := range ready {
		payload, err := d.undoData(i)
		if err != nil { // impossible: the same data produced this request before
			d.park(i, contract.DirectionUndo, SideParkedUnknown, err.Error())
			continue
		}
		d.begin(i, contract.DirectionUndo, payload)
	}
	return undone
}

func (d *decision) end(phase contract.Phase) {
	d.in.Phase = phase
	d.in.Ended = d.at
	d.in.Paused = nil
}

// begin requests one direction of a step.
func (d *decision) begin(i int, dir contract.Direction, payload []byte) {
	side := d.in.Steps[i].Side(dir)
	*side = Side{}
	side.allow(d.plan.action(i, dir).Attempts)
	d.send(i, dir, payload)
}

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
