package boltstore

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/outboxpb"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store/seal"
)

// debt is an entry in a saga's head: a pending outbox record and its position in tableOwed. A
// record is pending only while a head refers to it. The head of an ended saga may still refer to
// records that have been deleted (group.settle).
type debt struct {
	revision uint64
	index    uint16
	to       outbox.Destination
	seq      uint64 // sequence of the change that enqueued the record
	place    uint16 // index among the records of that change
}

// id returns the record's id. h is the head of the saga that enqueued the record.
func (d debt) id(of contract.SagaID, h *head) outbox.ID {
	return outbox.ID{Saga: of, Birth: h.born(), Revision: d.revision, Index: d.index}
}

func (d debt) key() []byte { return owedKey(d.to, d.seq, int(d.place)) }

// appendDebts encodes h.debts. Revisions and sequences are encoded as differences from the head's
// revision and last sequence.
func appendDebts(b []byte, h *head) []byte {
	b = binary.AppendUvarint(b, uint64(len(h.debts)))
	for _, d := range h.debts {
		b = binary.AppendUvarint(b, h.revision-d.revision)
		b = binary.AppendUvarint(b, uint64(d.index))
		b = binary.AppendUvarint(b, h.last-d.seq)
		b = binary.AppendUvarint(b, uint64(d.place))
		b = appendBytes(b, []byte(d.to))
	}
	return b
}

func (r *reader) debts(h *head) (list []debt) {
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		list = append(list, debt{
			revision: h.revision - r.uvarint(), index: uint16(r.small()),
			seq: h.last - r.uvarint(), place: uint16(r.small()), to: outbox.Destination(r.bytes()),
		})
	}
	return list
}

// An outbox record is stored in tableOwed as
//
//	saga · revision · index · the rest, abridged (outboxpb.AppendAbridged) and possibly sealed
//
// so that the record's saga can be identified without an encryption key. The saga's birth is in the
// saga's head.

// appendOwner encodes the saga, revision and index of a record.
func appendOwner(b []byte, id outbox.ID) []byte {
	b = appendBytes(b, []byte(id.Saga))
	b = binary.AppendUvarint(b, id.Revision)
	return binary.AppendUvarint(b, uint64(id.Index))
}

// owedFrame encodes an outbox record, with space for the frame header that putFrame writes.
func owedFrame(keys *seal.Keys, r *outbox.Record, input []byte) ([]byte, error) {
	frame := appendOwner(newFrame(256), r.ID)
	if keys == nil {
		return outboxpb.AppendAbridged(frame, r, input)
	}
	rest, err := outboxpb.AppendAbridged(nil, r, input)
	return append(frame, sealPart(keys, "owed", string(outboxKey(r.ID)), 0, rest)...), err
}

// stored is an encoded outbox record. Its id has no birth until the saga's head is read.
type stored struct {
	id     outbox.ID
	rest   []byte
	sealed bool // whether rest is sealed
}

// parseOwed decodes the saga, revision and index of a record.
func parseOwed(body []byte, sealed bool) (stored, error) {
	r := reader{b: body}
	id := outbox.ID{Saga: contract.SagaID(r.bytes()), Revision: r.uvarint(), Index: uint16(r.small())}
	return stored{id, r.b, sealed}, r.err
}

// read decodes the rest of the record. input returns the input of the record's saga.
func (o stored) read(keys *seal.Keys, to outbox.Destination, input func() ([]byte, error)) (outbox.Record, error) {
	rest, err := openPart(keys, o.sealed, "owed", string(outboxKey(o.id)), 0, o.rest)
	if err != nil {
		return outbox.Record{}, err
	}
	return outboxpb.UnmarshalAbridged(rest, o.id, to, input)
}

// detach rewrites a saga's pending records so that they contain the saga's input, because the birth
// from which they take the input is being replaced. Changes of the coordinator never replace a
// birth.
func (g *group) detach(id contract.SagaID, old *head) error {
	for _, d := range old.debts {
		v := g.bucket(tableOwed).Get(d.key())
		if v == nil { // discarded
			continue
		}
		o, h, err := g.s.openOwed(g.tx, d.key(), v)
		if err == nil && h == nil {
			continue
		}
		var record outbox.Record
		if err == nil {
			record, err = g.s.completeOwed(g.tx, o, d.to, old)
		}
		if err != nil { // the record stays damaged
			g.s.report(of(id, err))
			continue
		}
		keys := g.s.options.Keys
		frame, err := owedFrame(keys, &record, nil)
		if err != nil {
			return fatalError{fmt.Errorf("saga %s: %w", id, err)}
		}
		if err := g.putFrame(frameFormatOf(keys), tableOwed, d.key(), frame); err != nil {
			return err
		}
	}
	return nil
}

// owe sets h.debts: the pending outbox records of the old head and of the change, without the
// discarded records.
func (g *group) owe(p *prepared, h, old *head, seq uint64) {
	if old != nil {
		h.debts = g.unsettled(p.id, old, p.settle)
	}
	for i := range p.owe {
		id := p.owe[i].id
		g.takeSettled(id) // Discard may have been called for a removed saga's record with the same id
		if d := (debt{id.Revision, id.Index, p.owe[i].to, seq, uint16(i)}); slices.Contains(p.settle, id) {
			g.swept = append(g.swept, d.key())
		} else {
			h.debts = append(h.debts, d)
		}
	}
}

// unsettled returns the entries of h.debts, except entries in ids and entries that Discard marked.
// The records of the excluded entries are swept later, many at a time.
func (g *group) unsettled(id contract.SagaID, h *head, ids []outbox.ID) (left []debt) {
	for _, d := range h.debts {
		if one := d.id(id, h); g.takeSettled(one) || slices.Contains(ids, one) {
			g.swept = append(g.swept, d.key())
		} else {
			left = append(left, d)
		}
	}
	return left
}

// takeSettled reports whether Discard was called for a record. In that case it adds the record to
// g.settled.
func (g *group) takeSettled(id outbox.ID) bool {
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	_, settled := g.s.unsettle[id]
	if settled {
		g.settled = append(g.settled, id)
	}
	return settled
}

// settle removes the outbox records in ids, and the records marked by Discard, from the head of a
// saga that the change does not update. The head of an ended saga keeps the entries, which takes a
// few bytes but saves rewriting the page; only the records are deleted.
func (g *group) settle(id contract.SagaID, ids []outbox.ID) error {
	body, sealed, err := g.find(tableSagas, []byte(id))
	if err != nil || body == nil {
		return err
	}
	h, state, err := g.s.openHead(id, body, sealed)
	if err != nil {
		return err
	}
	before := len(h.debts)
	h.debts = g.unsettled(id, &h, ids)
	if len(h.debts) == before || !h.class.Open() {
		return nil
	}
	return g.putHead(sealed, id, &h, state)
}

// putHead writes a head followed by the saga's slim state.
func (g *group) putHead(sealed bool, id contract.SagaID, h *head, state []byte) error {
	format := byte(frameFormat)
	if sealed {
		format = frameSealed
	}
	size := headSize + len(h.ref.Name) + 16*len(h.debts) + 32*len(h.results) + len(state)
	return g.putFrame(format, tableSagas, []byte(id), append(h.append(newFrame(size)), state...))
}

// settleAll applies the pending discards of sagas that have not changed since Discard was called,
// and deletes all records that can be swept.
func (g *group) settleAll() error {
	g.s.mu.Lock()
	sagas := map[contract.SagaID][]outbox.ID{}
	for id := range g.s.unsettle {
		sagas[id.Saga] = append(sagas[id.Saga], id)
		g.settled = append(g.settled, id)
	}
	g.s.mu.Unlock()
	for id, ids := range sagas {
		err := g.settle(id, ids)
		if isFatal(err) {
			return err
		}
		if err != nil {
			g.s.report(of(id, err))
		}
	}
	swept := slices.Concat(g.s.swept, g.swept)
	g.s.swept, g.swept = nil, nil
	return g.sweep(swept)
}
