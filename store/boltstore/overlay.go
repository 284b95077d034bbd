package boltstore

import (
	"github.com/tidwall/btree"

	"github.com/amends-dev/amends/contract"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
)

// overlay holds what bbolt lacks: the newest versions of sagas. Store.mu guards it.
type overlay struct {
	sagas map[contract.SagaID]*saga
	keys  btree.Map[string, *saga] // the sagas by the keys of their rows, each after a byte for its table
	size  int64                    // of the items, in bytes
}

func newOverlay() overlay { return overlay{sagas: map[contract.SagaID]*saga{}} }

func keyIn(t table, key []byte) string { return string(append([]byte{byte(t)}, key...)) }

// add adds a saga as it was read from bbolt.
func (o *overlay) add(s *saga) {
	o.sagas[s.id] = s
	for _, r := range rows(s.id, s.head()) {
		o.keys.Set(keyIn(r.table, r.key), s)
	}
}

// remove forgets a saga.
func (o *overlay) remove(s *saga) {
	for _, r := range rows(s.id, s.head()) {
		o.keys.Delete(keyIn(r.table, r.key))
	}
	delete(o.sagas, s.id)
}

// append adds an item to a saga.
func (o *overlay) append(s *saga, item *amendsv1.LogItem) {
	for was, is := range diffRows(rows(s.id, s.head()), rows(s.id, item.Head)) {
		if was != nil {
			o.keys.Delete(keyIn(was.table, was.key))
		} else {
			o.keys.Set(keyIn(is.table, is.key), s)
		}
	}
	s.items = append(s.items, item)
	o.size += sizeOf(item)
}

// skipped reports whether items of a saga that cannot be read were left out. The log is kept then, and
// replayed when the store is opened the next time, until the saga is removed.
func (o *overlay) skipped() bool {
	for _, s := range o.sagas {
		if s.skipped {
			return true
		}
	}
	return false
}

// apply applies the items of a durable record: after a commit, and at replay. It reads nothing and
// cannot fail: every saga that the items name has been entered. An item holds its saga's
// whole head, so nothing is computed. One that the saga contains already, because a checkpoint was ahead,
// is skipped. Store.mu is locked.
func (s *Store) apply(items *amendsv1.LogItems) {
	for i, item := range items.Items {
		s.item = items.First + uint64(i)
		if e := item.Entry; e != nil {
			t, _ := tableOf(e.Table)
			s.entries[keyIn(t, e.Key)] = &value{data: e.Value, dirty: true}
			continue
		}
		o := s.overlay.sagas[contract.SagaID(item.Saga)]
		old := o.head()
		if o.damage != nil && !item.Fresh {
			o.skipped = true
			continue
		}
		if o.damage != nil { // it is replaced by a tombstone
			o.damage, o.skipped, o.sweep = nil, false, true
		}
		if old != nil && s.item <= old.At {
			continue
		}
		if item.Head != nil {
			item.Head.At = s.item
			if len(item.Head.Rest) == 0 {
				item.Head.Rest = old.GetRest()
			}
		}
		s.overlay.append(o, item)
		tallies(old, s.count, -1)
		tallies(item.Head, s.count, 1)
	}
}
