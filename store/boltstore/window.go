package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/store"
)

// window is a snapshot of bbolt, and access to the overlay. What look copies from the overlay and what is
// in the snapshot belong together: a saga leaves the overlay only after bbolt holds it, and with a new
// generation. The generation is read before the snapshot is taken; if withOverlay finds it unchanged, whatever
// is not in the overlay is in the snapshot. A snapshot that is newer than the overlay does no harm,
// because the overlay hides it.
type window struct {
	s          *Store
	tx         *bolt.Tx
	generation uint64
}

// errMoved means that a checkpoint has dropped sagas from the overlay since the window was opened, so
// that the snapshot may lack them. The window is then opened again.
var errMoved = errors.New("the overlay has changed since the snapshot")

// view calls fn with a window. It calls fn again, with a new window, if fn returns errMoved. Damage to
// the structure of the file is returned as a *store.CorruptError.
func (s *Store) view(ctx context.Context, fn func(w *window) error) error {
	for {
		if err := s.usable(ctx); err != nil {
			return err
		}
		if err := s.open(fn); !errors.Is(err, errMoved) {
			return err
		}
	}
}

// open calls fn once with a window.
func (s *Store) open(fn func(w *window) error) error {
	err := guard(func() error {
		w := &window{s: s, generation: s.generation.Load()}
		return s.db.View(func(tx *bolt.Tx) error {
			w.tx = tx
			return fn(w)
		})
	})
	s.counters.damage(err)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

// guard runs fn. If fn panics, or faults while it reads the mapped file, guard returns a
// *store.CorruptError.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &store.CorruptError{
				What: "structure of the database file",
				Why:  fmt.Sprintf("%v; stop the process and restore a backup (the restore command)", p),
			}
		}
	}()
	return fn()
}

// withOverlay calls fn with the overlay, which must only be read, and copied where it is used afterwards. It
// returns errMoved, and does not call fn, if the snapshot is too old.
func (w *window) withOverlay(fn func(o *overlay)) error {
	w.s.mu.RLock()
	defer w.s.mu.RUnlock()
	if w.s.generation.Load() != w.generation {
		return errMoved
	}
	fn(&w.s.overlay)
	return nil
}

// find returns a copy of a saga. Its head is nil if there is no such saga.
func (w *window) find(id contract.SagaID) (found saga, err error) {
	known := false
	err = w.withOverlay(func(o *overlay) {
		if s := o.sagas[id]; s != nil {
			found, known = *s, true
		}
	})
	switch {
	case err != nil:
		return saga{}, err
	case known:
		return found, found.damage
	}
	stored, err := w.read(id)
	return saga{id: id, stored: stored}, err
}

// read returns the head of a saga as bbolt holds it, or nil if it holds none.
func (w *window) read(id contract.SagaID) (*head, error) {
	body, err := tableIDs.get(w.tx, []byte(id))
	switch {
	case err == nil && body == nil:
		return nil, withSaga(id, tableIDs.absent(w.tx, []byte(id)))
	case err == nil && len(body) != 8:
		err = tableIDs.corrupt([]byte(id), "it holds no time")
	}
	if err != nil {
		return nil, withSaga(id, err)
	}
	return w.readAt(unsortable(binary.BigEndian.Uint64(body)), id)
}

// readAt returns the head of a saga as bbolt holds it, by the time of its start.
func (w *window) readAt(started int64, id contract.SagaID) (*head, error) {
	key := partKey(started, id, partHead, nil)
	body, err := tableSagas.get(w.tx, key)
	h := new(head)
	switch {
	case err != nil:
	case body == nil:
		err = tableSagas.corrupt(key, "it is missing, although the saga's id is known")
	default:
		if wrong := protoconv.Unmarshal(body, h); wrong != nil {
			err = tableSagas.corrupt(key, wrong.Error())
		}
	}
	if err != nil {
		return nil, withSaga(id, err)
	}
	return h, nil
}

// withSaga adds the saga's id to err if err is a *store.CorruptError without an id.
func withSaga(id contract.SagaID, err error) error {
	if damage, ok := errors.AsType[*store.CorruptError](err); ok && damage.Saga == "" {
		damage.Saga = id
	}
	return err
}

// entry is an entry of a table, from the overlay or from bbolt.
type entry struct {
	key  []byte
	body []byte // of a row of bbolt
	saga *saga  // a copy of the saga in the overlay whose row this would be; nil if the entry is bbolt's
}

// span is the range of keys from low, included, to high, excluded, in one table. A nil high means the
// end of the table. If back is set, it is read downwards.
type span struct {
	table     table
	low, high []byte
	back      bool
}

// prefixed returns the span of the keys with a prefix.
func prefixed(t table, prefix []byte) span {
	return span{table: t, low: prefix, high: successor(prefix)}
}

// successor returns the first key after all keys with a prefix, or nil if there is none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			next := bytes.Clone(prefix[:i+1])
			next[i]++
			return next
		}
	}
	return nil
}

func (s *span) holds(key []byte) bool {
	return bytes.Compare(key, s.low) >= 0 && (s.high == nil || bytes.Compare(key, s.high) < 0)
}

// ahead reports whether a key is on the side of the span from which it is read.
func (s *span) ahead(key []byte) bool {
	if s.back {
		return s.high != nil && bytes.Compare(key, s.high) >= 0
	}
	return bytes.Compare(key, s.low) < 0
}

// until returns the part of the span up to a key, which it includes.
func (s span) until(key []byte) span {
	if s.back {
		s.low = key
	} else {
		s.high = append(bytes.Clone(key), 0)
	}
	return s
}

// behind returns the part of the span after a key.
func (s span) behind(key []byte) span {
	if s.back {
		s.high = key
	} else {
		s.low = append(bytes.Clone(key), 0)
	}
	return s
}

// batch is the beginning of a span.
type batch struct {
	span
	entries []entry
	last    []byte // the last key that was read; nil if the whole span was
}

// ownerFunc returns the saga of a row, or false if the row cannot be read.
type ownerFunc func(key, body []byte) (contract.SagaID, bool)

// entries returns the first entries of a span, about n. See fill.
func (w *window) entries(s span, n int, owner ownerFunc) ([]entry, []byte, error) {
	batches := []batch{{span: s}}
	err := w.fill(batches, n, owner)
	return batches[0].entries, batches[0].last, err
}

// fill reads about n entries of each span, as of one moment. A row of bbolt whose saga is in the overlay
// does not count, unless that is damaged. Damaged rows are reported and skipped.
func (w *window) fill(batches []batch, n int, owner ownerFunc) error {
	stored := make([][]owned, len(batches))
	for i := range batches {
		b := &batches[i]
		if stored[i], b.last = w.rows(b.span, n, owner); b.last != nil {
			b.span = b.until(b.last)
		}
	}
	return w.withOverlay(func(o *overlay) {
		for i := range batches {
			batches[i].merge(o, stored[i], n)
		}
	})
}

// merge adds the entries of the overlay, and those of bbolt that count.
func (b *batch) merge(o *overlay, stored []owned, n int) {
	o.walk(b.span, func(key []byte, of *saga) bool {
		if len(b.entries) == n {
			b.last = b.entries[n-1].key
			b.span = b.until(b.last)
			return false
		}
		shown := *of
		b.entries = append(b.entries, entry{key: key, saga: &shown})
		return true
	})
	for _, r := range stored {
		if hides := o.sagas[r.id]; (hides == nil || hides.damage != nil) && b.holds(r.key) {
			b.entries = append(b.entries, r.entry)
		}
	}
	slices.SortFunc(b.entries, func(x, y entry) int {
		if b.back {
			x, y = y, x
		}
		return bytes.Compare(x.key, y.key)
	})
}

// walk calls yield with the keys of a span and their sagas, until yield returns false.
func (o *overlay) walk(s span, yield func(key []byte, of *saga) bool) {
	take := func(key string, of *saga) bool {
		k := []byte(key[1:])
		switch {
		case key[0] == byte(s.table) && s.holds(k):
			return yield(k, of)
		case s.back: // the walk begins at high, which does not belong to the span
			return key[0] > byte(s.table) || key[0] == byte(s.table) && s.ahead(k)
		}
		return false
	}
	switch {
	case !s.back:
		o.keys.Ascend(keyIn(s.table, s.low), take)
	case s.high == nil:
		o.keys.Descend(keyIn(s.table+1, nil), take)
	default:
		o.keys.Descend(keyIn(s.table, s.high), take)
	}
}

// owned is an entry of bbolt with its saga.
type owned struct {
	entry

	id contract.SagaID
}

// rows returns the first n rows of a span. last is the last key that it has read, or nil if it has read
// the whole span.
func (w *window) rows(s span, n int, owner ownerFunc) (list []owned, last []byte) {
	c := s.table.bucket(w.tx).Cursor()
	step := c.Next
	if s.back {
		step = c.Prev
	}
	for k, v := s.seek(c); k != nil; k, v = step() {
		if !s.table.intact(k, v) {
			w.s.report(s.table.corrupt(k, "the checksum of its key is wrong"))
			continue
		}
		if !s.holds(k) {
			if s.ahead(k) {
				continue
			}
			break
		}
		if len(list) == n {
			return list, last
		}
		last = bytes.Clone(k)
		body, err := s.table.open(k, v)
		var id contract.SagaID
		if err == nil {
			var ok bool
			if id, ok = owner(k, body); !ok {
				err = s.table.corrupt(k, "it cannot be read")
			}
		}
		if err != nil {
			w.s.report(err)
			continue
		}
		list = append(list, owned{entry{key: last, body: body}, id})
	}
	return list, nil
}

// seek moves a cursor to the first row of the span. A key with a flipped bit misleads the search to a
// place beside it, so seek goes back over damaged keys, and over rows of the span, before it begins.
func (s *span) seek(c *bolt.Cursor) (k, v []byte) {
	if s.back {
		if s.high == nil {
			return c.Last()
		}
		for k, v = c.Seek(s.high); k != nil && !(s.table.intact(k, v) && s.ahead(k)); {
			k, v = c.Next()
		}
		if k == nil {
			return c.Last()
		}
		return c.Prev()
	}
	if k, _ = c.Seek(s.low); k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	for k != nil && !(s.table.intact(k, v) && s.ahead(k)) {
		k, v = c.Prev()
	}
	if k == nil {
		return c.First()
	}
	return c.Next()
}

// before moves a cursor to the last row before a key.
func before(c *bolt.Cursor, key []byte) (k, v []byte) {
	if k, _ = c.Seek(key); k == nil {
		return c.Last()
	}
	return c.Prev()
}
