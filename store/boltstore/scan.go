package boltstore

import (
	"bytes"

	"github.com/tidwall/btree"
	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
)

// span is the range of keys from low, included, to high, excluded, in one table. A nil high means the
// end of the table. If back is set, it is read downwards, and high is not nil.
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
		return bytes.Compare(key, s.high) >= 0
	}
	return bytes.Compare(key, s.low) < 0
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

// entry is an entry of a table. It is valid as long as its window.
type entry struct {
	key  []byte
	body []byte // of a row of bbolt
	saga *saga  // in the overlay, whose row this would be; nil if the entry is bbolt's
}

// ownerFunc returns the saga of a row, or false if the row cannot be read.
type ownerFunc func(key, body []byte) (contract.SagaID, bool)

// scan reads the entries of a span, in order, from overlay and bbolt. It reports and skips damaged rows.
type scan struct {
	span

	w      *window
	owner  ownerFunc
	cursor *bolt.Cursor
	keys   btree.MapIter[string, contract.SagaID]
	stored *entry // the next one of bbolt, or nil
	newer  *entry // the next one of the overlay, or nil
}

func (w *window) scan(s span, owner ownerFunc) *scan {
	c := &scan{span: s, w: w, owner: owner, cursor: s.table.bucket(w.tx).Cursor(), keys: w.overlay.keys.Iter()}
	c.stored = c.row(c.seekRow())
	c.newer = c.key(c.seekKey())
	return c
}

// next returns the next entry, or nil at the end.
func (c *scan) next() (e *entry) {
	if c.newer == nil || c.stored != nil && (bytes.Compare(c.stored.key, c.newer.key) < 0) != c.back {
		if e = c.stored; e != nil {
			c.stored = c.row(c.nextRow())
		}
		return e
	}
	e = c.newer
	c.newer = c.key(c.nextKey())
	return e
}

// row returns the first row that counts, from one on. A row whose saga is in the overlay does not count,
// unless that is damaged.
func (c *scan) row(k, v []byte) *entry {
	for ; k != nil; k, v = c.nextRow() {
		if !c.table.intact(k, v) {
			c.w.s.report(c.table.corrupt(k, "the checksum of its key is wrong"))
			continue
		}
		if !c.holds(k) {
			if c.ahead(k) {
				continue
			}
			return nil
		}
		body, err := c.table.open(k, v)
		id, ok := c.owner(k, body)
		if err == nil && !ok {
			err = c.table.corrupt(k, "it cannot be read")
		}
		if err != nil {
			c.w.s.report(err)
			continue
		}
		if hides, known := c.w.overlay.sagas.Get(id); !known || hides.damage != nil {
			return &entry{key: k, body: body}
		}
	}
	return nil
}

// seekRow moves the cursor to the first row of the span. A key with a flipped bit misleads the search to
// a place beside it, so seekRow goes back over damaged keys, and over rows of the span, before it begins.
func (c *scan) seekRow() (k, v []byte) {
	away := func() bool { return k == nil || c.table.intact(k, v) && c.ahead(k) }
	if c.back {
		for k, v = c.cursor.Seek(c.high); !away(); {
			k, v = c.cursor.Next()
		}
		if k == nil {
			return c.cursor.Last()
		}
		return c.cursor.Prev()
	}
	for k, v = before(c.cursor, c.low); !away(); {
		k, v = c.cursor.Prev()
	}
	if k == nil {
		return c.cursor.First()
	}
	return c.cursor.Next()
}

func (c *scan) nextRow() (k, v []byte) {
	if c.back {
		return c.cursor.Prev()
	}
	return c.cursor.Next()
}

// key returns the entry at the place of the iterator, or nil at the end of the span.
func (c *scan) key(ok bool) *entry {
	if !ok || c.keys.Key()[0] != byte(c.table) {
		return nil
	}
	k := []byte(c.keys.Key()[1:])
	if !c.holds(k) {
		return nil
	}
	s, _ := c.w.overlay.sagas.Get(c.keys.Value())
	return &entry{key: k, saga: s}
}

func (c *scan) seekKey() bool {
	switch {
	case !c.back:
		return c.keys.Seek(keyIn(c.table, c.low))
	case c.keys.Seek(keyIn(c.table, c.high)):
		return c.keys.Prev()
	default:
		return c.keys.Last()
	}
}

func (c *scan) nextKey() bool {
	if c.back {
		return c.keys.Prev()
	}
	return c.keys.Next()
}

// before moves a cursor to the last row before a key.
func before(c *bolt.Cursor, key []byte) (k, v []byte) {
	if k, _ = c.Seek(key); k == nil {
		return c.Last()
	}
	return c.Prev()
}
