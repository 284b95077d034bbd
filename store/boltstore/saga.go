package boltstore

import (
	"encoding/binary"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
)

// head is what the store itself knows of a saga, without decoding its state. A head is never changed;
// nil means that there is no such saga.
type head = amendsv1.SagaHead

// saga is a version of a saga: what bbolt holds of it, and the items that bbolt lacks. It is never changed.
type saga struct {
	id     contract.SagaID
	stored *head               // what bbolt holds
	items  []*amendsv1.LogItem // oldest first, each with its number and its rest
	damage error               // why bbolt's rows of the saga cannot be read; then there is nothing else
	sweep  bool                // the rows were damaged: the next checkpoint looks for them in bbolt
}

// head returns the saga's newest head.
func (s *saga) head() *head {
	if n := len(s.items); n > 0 {
		return s.items[n-1].Head
	}
	return s.stored
}

// parts returns the items whose parts belong to the saga as it is now, and whether bbolt holds parts
// of it too.
func (s *saga) parts() (items []*amendsv1.LogItem, stored bool) {
	for i, item := range slices.Backward(s.items) {
		if item.Fresh {
			return s.items[i:], false
		}
	}
	return s.items, true
}

// owner returns to whom the parts of a saga are sealed.
func (s *saga) owner() owner { return ownerOf(s.id, s.head()) }

func ownerOf(id contract.SagaID, h *head) owner {
	return owner{id, contract.BirthOf(instant(h.GetStartedUnixNano()))}
}

// sizeOf is the memory that an item takes in the overlay, in bytes, roughly.
func sizeOf(item *amendsv1.LogItem) int64 {
	n := 1<<10 + len(item.Start) + len(item.Head.GetRest()) + 128*len(item.Head.GetPending())
	for _, parts := range [][][]byte{item.Events, item.Messages, item.Head.GetData()} {
		for _, b := range parts {
			n += len(b)
		}
	}
	for _, d := range item.Data {
		n += len(d.Data)
	}
	return int64(n)
}

// removed reports whether a head is that of a tombstone.
func removed(h *head) bool { return h != nil && h.Class == 0 }

// positionOf returns the position of a pending message.
func positionOf(p *amendsv1.PendingRef) outbox.Position {
	return outbox.Position{Commit: p.Item, Index: uint16(p.Place)}
}

// idOf returns the id of a pending message.
func (o owner) idOf(p *amendsv1.PendingRef) outbox.ID {
	return outbox.ID{Saga: o.id, Birth: o.birth, Revision: p.Revision, Index: uint16(p.Index)}
}

// without returns the pending messages except those with certain ids.
func without(pending []*amendsv1.PendingRef, of owner, ids []outbox.ID) []*amendsv1.PendingRef {
	if len(ids) == 0 {
		return pending
	}
	gone := make(map[outbox.ID]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
	}
	return slices.DeleteFunc(slices.Clone(pending), func(p *amendsv1.PendingRef) bool { return gone[of.idOf(p)] })
}

// row is a row by which a saga is found.
type row struct {
	table table
	key   []byte
	body  []byte // nil for a pending message: its row holds the message
}

// rows returns the rows by which a saga with this head is found, without those by which it is also found
// with another head.
func rows(id contract.SagaID, h, other *head) (rows []row) {
	if h == nil {
		return nil
	}
	moved := other == nil || other.StartedUnixNano != h.StartedUnixNano
	ended := moved || removed(other) != removed(h) || other.EndedUnixNano != h.EndedUnixNano
	var start []byte
	if moved || ended {
		start = binary.BigEndian.AppendUint64(nil, sortable(h.StartedUnixNano))
	}
	if moved {
		rows = append(rows, row{tableIDs, []byte(id), start})
	}
	if removed(h) {
		if ended {
			rows = append(rows, row{tableExpiry, timeKey(string(rune(expiryTombstone)), h.EndedUnixNano, id), start})
		}
		return rows
	}
	ref := h.Definition
	if moved || other.Class != h.Class || protoconv.FromRef(ref) != protoconv.FromRef(other.Definition) {
		rows = append(rows, row{
			tableIndex, indexKey(store.Class(h.Class), h.StartedUnixNano, id),
			append(binary.AppendUvarint(nil, uint64(ref.GetVersion())), ref.GetName()...),
		})
	}
	if h.WakeUnixNano != 0 && h.WakeUnixNano != other.GetWakeUnixNano() {
		rows = append(rows, row{tableTimers, timeKey("", h.WakeUnixNano, id), nil})
	}
	if h.EndedUnixNano != 0 && ended {
		rows = append(rows, row{tableExpiry, timeKey(string(rune(expirySaga)), h.EndedUnixNano, id), start})
	}
	for _, p := range newIn(h.Pending, other.GetPending()) {
		rows = append(rows, row{tablePending, pendingKey(outbox.Destination(p.To), positionOf(p)), nil})
	}
	return rows
}

// newIn returns the pending messages that are not in a second list.
func newIn(pending, from []*amendsv1.PendingRef) []*amendsv1.PendingRef {
	if len(from) == 0 {
		return pending
	}
	known := make(map[outbox.Position]bool, len(from))
	for _, p := range from {
		known[positionOf(p)] = true
	}
	return slices.DeleteFunc(slices.Clone(pending), func(p *amendsv1.PendingRef) bool { return known[positionOf(p)] })
}

// tallies calls add for everything that a saga with this head counts for.
func tallies(h *head, add func(tally, int), n int) {
	if h == nil {
		return
	}
	if !removed(h) {
		add(tally{ref: protoconv.FromRef(h.Definition), class: store.Class(h.Class)}, n)
	}
	for _, p := range h.Pending {
		add(tally{to: outbox.Destination(p.To)}, n)
	}
}
