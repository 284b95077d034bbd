package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store/seal"
)

// result is an entry in a saga's head. It refers to the event that holds a step's result, so that
// later states need not repeat the result.
type result struct {
	step  int
	sum   uint32 // computed in the same way as head.birthSum
	seq   uint64 // sequence of the change that holds the event, or 0 if inline is set
	event int    // index among the events of the change

	inline []byte // the result itself, if no event holds it; possibly sealed
}

// minElsewhere is the size, in bytes, from which a result is stored outside the state.
const minElsewhere = 24

func appendResults(b []byte, h *head) []byte {
	b = binary.AppendUvarint(b, uint64(len(h.results)))
	for _, r := range h.results {
		b = binary.AppendUvarint(b, uint64(r.step))
		b = binary.BigEndian.AppendUint32(b, r.sum)
		if r.seq == 0 {
			b = appendBytes(append(b, 0), r.inline)
			continue
		}
		b = binary.AppendUvarint(b, h.last-r.seq+1)
		b = binary.AppendUvarint(b, uint64(r.event))
	}
	return b
}

func (r *reader) results(h *head) (list []result) {
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		one := result{step: r.small(), sum: r.uint32()}
		switch back := r.uvarint(); {
		case back == 0:
			one.inline = r.bytes()
		case back > h.last:
			r.err = errors.New("it has a result that refers to a change before the first one")
		default:
			one.seq, one.event = h.last-back+1, r.small()
		}
		list = append(list, one)
	}
	return list
}

// small reads a number that must fit a uint16.
func (r *reader) small() int {
	n := r.uvarint()
	if n > math.MaxUint16 && r.err == nil {
		r.err = fmt.Errorf("a number is damaged: %d is above %d", n, math.MaxUint16)
	}
	return int(n & math.MaxUint16)
}

// given is a result in a change. Its field event is the index of the change's event that holds the
// result, or -1 if no event holds it.
type given struct {
	result

	plain []byte
}

// elsewhere returns the results that can be stored outside the state.
func elsewhere(keys *seal.Keys, in *machine.Instance, events []machine.Event) (list []given) {
	for i := range in.Steps {
		data := in.Steps[i].Result
		if len(data) < minElsewhere {
			continue
		}
		event := -1
		for k := range events {
			if e := &events[k]; (e.Type == contract.EventStepAnswered || e.Type == contract.EventOperationTaken) && bytes.Equal(e.Payload, data) {
				event = k
			}
		}
		list = append(list, given{result{step: i, sum: partSum(keys, "result", data), event: event}, data})
	}
	return list
}

// place sets where each result of a change is stored: in one of the change's events, in the place
// that the old head already names, or in the new head itself.
func (p *prepared) place(keys *seal.Keys, h, old *head, seq uint64) {
	for _, g := range p.results {
		r := g.result
		before := old.result(r.step, r.sum)
		switch {
		case r.event >= 0:
			r.seq = seq
		case before != nil:
			r = *before
		default:
			r.event, r.inline = 0, sealPart(keys, "result", string(p.id), uint64(r.step), g.plain)
		}
		h.results = append(h.results, r)
	}
}

// result returns the entry with this step and checksum, or nil if there is none.
func (h *head) result(step int, sum uint32) *result {
	if h == nil {
		return nil
	}
	for i := range h.results {
		if h.results[i].step == step && h.results[i].sum == sum {
			return &h.results[i]
		}
	}
	return nil
}

// fillResults adds to a state the results that are stored outside it.
func (s *Store) fillResults(tx *bolt.Tx, in *machine.Instance, h *head) error {
	for i := range h.results {
		r := &h.results[i]
		if r.step >= len(in.Steps) {
			return tableSagas.corrupt([]byte(in.ID), fmt.Sprintf("it has a result of step %d, but the saga has %s", r.step, plural.Of(len(in.Steps), "step", "steps")))
		}
		data, sealed, err := s.readResult(tx, in.ID, h, r)
		if err != nil {
			return err
		}
		if !sealed && checksum(data) != r.sum { // a seal is a stronger proof than the checksum
			return tableSagas.corrupt([]byte(in.ID), fmt.Sprintf("the result of step %d differs from the one in the journal", r.step))
		}
		in.Steps[r.step].Result = own(data)
	}
	return nil
}

func (s *Store) readResult(tx *bolt.Tx, id contract.SagaID, h *head, r *result) (data []byte, sealed bool, err error) {
	if r.seq == 0 {
		data, err := openPart(s.options.Keys, h.sealed, "result", string(id), uint64(r.step), r.inline)
		if err != nil {
			return nil, false, tableSagas.corrupt([]byte(id), err.Error())
		}
		return data, h.sealed, nil
	}
	e, err := s.loadEntry(tx, id, r.seq)
	if err != nil {
		return nil, false, err
	}
	if r.event >= len(e.events) {
		return nil, false, tableJournal.corrupt(sequenceKey(r.seq), "it lacks the event that holds a result of the saga")
	}
	event, err := s.eventOf(e, r.event)
	if err != nil {
		return nil, false, tableJournal.corrupt(sequenceKey(r.seq), err.Error())
	}
	return event.Payload, e.sealed, nil
}
