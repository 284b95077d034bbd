package boltstore

import (
	"fmt"

	"github.com/tidwall/btree"

	"github.com/amends-dev/amends/contract"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
)

// overlay holds what bbolt lacks: the newest versions of sagas. A saga in it speaks for its id: what the
// indexes in bbolt say of the id does not count. A version is never changed, but replaced, so that copies
// of the trees, which share their nodes until one of them changes, are snapshots. Store.mu guards it.
type overlay struct {
	sagas *btree.Map[contract.SagaID, *saga]
	keys  *btree.Map[string, contract.SagaID] // of the rows by which the sagas are found, each after a byte for its table
	size  int64                               // of the items, in bytes
}

func newOverlay() overlay {
	return overlay{sagas: new(btree.Map[contract.SagaID, *saga]), keys: new(btree.Map[string, contract.SagaID])}
}

// snapshot returns a copy to read from. Store.mu is locked for writing.
func (o *overlay) snapshot() overlay { return overlay{sagas: o.sagas.Copy(), keys: o.keys.Copy()} }

func keyIn(t table, key []byte) string { return string([]byte{byte(t)}) + string(key) }

// set replaces a saga with a newer version. A version that is as bbolt holds it leaves the overlay.
func (o *overlay) set(s *saga) {
	var was, is *head
	if old, known := o.sagas.Get(s.id); known {
		was = old.head()
	}
	if len(s.items) > 0 || s.damage != nil {
		o.sagas.Set(s.id, s)
		is = s.head()
	} else {
		o.sagas.Delete(s.id)
	}
	for _, gone := range rows(s.id, was, is) {
		o.keys.Delete(keyIn(gone.table, gone.key))
	}
	for _, comes := range rows(s.id, is, was) {
		o.keys.Set(keyIn(comes.table, comes.key), s.id)
	}
}

// append adds an item to a saga.
func (o *overlay) append(s saga, item *amendsv1.LogItem) {
	s.items = append(s.items, item)
	o.set(&s)
	o.size += sizeOf(item)
}

// damaged returns the sagas of which replay has left out items, because they cannot be read. The log is
// kept for them, and replayed when the store is opened the next time, until they are removed.
func (o *overlay) damaged() (list []*saga) {
	for _, s := range o.sagas.Values() {
		if s.damage != nil {
			list = append(list, s)
		}
	}
	return list
}

// apply applies the items of a durable record: after a commit, and at replay. It reads nothing and
// cannot fail: entered holds every saga that the items name. An item holds its saga's whole head, so
// nothing is computed. One that the saga contains already, because a checkpoint was ahead, is skipped, as
// are changes of a saga of which a change is lost (Skip). Store.mu is locked.
func (s *Store) apply(items *amendsv1.LogItems, entered map[contract.SagaID]*saga) {
	for i, item := range items.Items {
		s.item = items.First + uint64(i)
		if e := item.Entry; e != nil {
			t, _ := tableOf(e.Table)
			s.entries[keyIn(t, e.Key)] = &value{data: e.Value, dirty: true}
			continue
		}
		id := contract.SagaID(item.Saga)
		was, known := s.overlay.sagas.Get(id)
		if !known { // bbolt holds it as it was entered, perhaps since then
			was = &saga{id: id, stored: entered[id].head(), damage: entered[id].damage}
		}
		now, old := *was, was.head()
		switch {
		case was.damage != nil && !item.Fresh:
			s.overlay.set(was)
			continue
		case was.damage != nil: // it is replaced by a tombstone
			now.damage, now.sweep = nil, true
		case old != nil && s.item <= old.At || old.GetDamage() != "" && !item.Fresh:
			continue
		case !follows(old, item):
			s.distrust(was, item.Head, fmt.Sprintf("the log lacks what precedes its revision %d", item.Head.Revision))
			continue
		}
		if item.Head != nil {
			item.Head.At = s.item
			if len(item.Head.Rest) == 0 {
				item.Head.Rest = old.GetRest()
			}
		}
		s.overlay.append(now, item)
		tallies(old, s.count, -1)
		tallies(item.Head, s.count, 1)
	}
}
