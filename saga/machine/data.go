package machine

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/amends-dev/amends/contract"
)

// data is that of one direction of a step.
func (d *decision) data(i int, dir contract.Direction) ([]byte, error) {
	if dir == contract.DirectionUndo {
		return d.undoData(i)
	}
	return d.request(i)
}

// request is the data of a step's do.
func (d *decision) request(i int) ([]byte, error) {
	steps := d.in.Steps // not d: the mapping may keep what it is given
	request, err := d.mappings.request(d.plan, i, d.in.Input, func(step int) []byte { return steps[step].Result })
	if errors.Is(err, ErrCostly) {
		d.costly = true
	}
	if err == nil && len(request) > contract.MaxPayload {
		err = fmt.Errorf("the request of step %s would be %d bytes, at most %d (MaxPayload)", d.plan.Steps[i].Name, len(request), contract.MaxPayload)
	}
	if err == nil && d.plan.Steps[i].Mapping != nil {
		if wrong := contract.CheckJSON(request); wrong != nil { // deeper than what it is made of, for example
			err = fmt.Errorf("the request of step %s would not be valid JSON: %w", d.plan.Steps[i].Name, wrong)
		}
	}
	return request, err
}

// undoData is the data of a step's undo: {"request": …, "result": …}. What is
// not JSON is written as a string of its base64, which encoding/json reads back
// into a []byte.
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
