package boltstore

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/outboxpb"
	"github.com/amends-dev/amends/outbox"
)

// debt is an entry in a saga's head: a record that it owes, and where in owed that is.
// It is what makes the record owed: one that no head names is settled. A saga that has
// ended may name records that are not there any more (group.settleAll).
type debt struct {
	revision uint64
	index    uint16
	to       outbox.Destination
	seq      uint64 // of the change that owes it
	place    uint16 // among those of the change
}

// id is that of the record; h is the head of the saga that owes it.
func (d debt) id(of contract.SagaID, h *head) outbox.ID {
	return outbox.ID{Saga: of, Birth: h.born(), Revision: d.revision, Index: d.index}
}

func (d debt) key() []byte { return owedKey(d.to, d.seq, int(d.place)) }

// appendDebts writes the debts of a head; revisions and sequences as what lies between
// them and the head's own.
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

// An owed record is
//
//	saga · revision · index · the rest, abridged (outboxpb.AppendAbridged); that may be sealed
//
// so that it can be told without a key whose it is. The saga's birth is in its head.

// appendOwner writes whose record it is.
func appendOwner(b []byte, id outbox.ID) []byte {
	b = appendBytes(b, []byte(id.Saga))
	b = binary.AppendUvarint(b, id.Revision)
	return binary.AppendUvarint(b, uint64(id.Index))
}

// owedFrame is an owed record in its frame, for putFrame.
func owedFrame(keys *Keys, r *outbox.Record, input []byte) ([]byte, error) {
	frame := appendOwner(newFrame(256), r.ID)
	if keys == nil {
		return outboxpb.AppendAbridged(frame, r, input)
	}
	rest, err := outboxpb.AppendAbridged(nil, r, input)
	return append(frame, keys.closing("owed", string(outboxKey(r.ID)), 0, rest)...), err
}

// stored is an owed record as it is stored. Its id has a birth once the head is known.
type stored struct {
	id     outbox.ID
	rest   []byte
	sealed bool // the rest is
}

// parseOwed reads whose record it is.
func parseOwed(body []byte, sealed bool) (stored, error) {
	r := reader{b: body}
	id := outbox.ID{Saga: contract.SagaID(r.bytes()), Revision: r.uvarint(), Index: uint16(r.small())}
	return stored{id, r.b, sealed}, r.err
}

// read reads all of a record; input returns its saga's.
func (o stored) read(keys *Keys, to outbox.Destination, input func() ([]byte, error)) (outbox.Record, error) {
	rest, err := keys.opening(o.sealed, "owed", string(outboxKey(o.id)), 0, o.rest)
	if err != nil {
		return outbox.Record{}, err
	}
	return outboxpb.UnmarshalAbridged(rest, o.id, to, input)
}

// detach rewrites what a saga owes, with the input in it: what the birth says from now
// on is another one. No coordinator does that to a saga.
func (g *group) detach(id contract.SagaID, old *head) error {
	for _, d := range old.debts {
		v := g.bucket(tableOwed).Get(d.key())
		if v == nil { // settled
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
		if err != nil { // it is as damaged as before
			g.s.report(of(id, err))
			continue
		}
		keys := g.s.options.Keys
		frame, err := owedFrame(keys, &record, nil)
		if err != nil {
			return fatalError{fmt.Errorf("saga %s: %w", id, err)}
		}
		if err := g.putFrame(keys.format(), tableOwed, d.key(), frame); err != nil {
			return err
		}
	}
	return nil
}

// owe gives a head its debts: the old ones and the new ones that are not settled.
func (g *group) owe(p *prepared, h, old *head, seq uint64) {
	if old != nil {
		h.debts = g.unsettled(p.id, old, p.settle)
	}
	for i := range p.owe {
		id := p.owe[i].id
		g.takeSettled(id) // it was told of a saga of this id that was removed
		if d := (debt{id.Revision, id.Index, p.owe[i].to, seq, uint16(i)}); slices.Contains(p.settle, id) {
			g.swept = append(g.swept, d.key())
		} else {
			h.debts = append(h.debts, d)
		}
	}
}

// unsettled are the debts of a saga that are settled neither by ids nor by Discard. The
// records of the others are swept later, many at a time.
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

// takeSettled reports whether Discard was told of a record; the group sees to it.
func (g *group) takeSettled(id outbox.ID) bool {
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	_, settled := g.s.unsettle[id]
	if settled {
		g.settled = append(g.settled, id)
	}
	return settled
}

// settle removes the debts of other sagas than the one that a change moves. A saga that
// has ended keeps its entry, which costs a few bytes and spares writing its page again:
// its record is gone.
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

// putHead writes a head and the slim state behind it.
func (g *group) putHead(sealed bool, id contract.SagaID, h *head, state []byte) error {
	format := byte(frameFormat)
	if sealed {
		format = frameSealed
	}
	size := headSize + len(h.ref.Name) + 16*len(h.debts) + 32*len(h.results) + len(state)
	return g.putFrame(format, tableSagas, []byte(id), append(h.append(newFrame(size)), state...))
}

// settleAll applies what Discard was told of sagas that did not move since, and sweeps.
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
