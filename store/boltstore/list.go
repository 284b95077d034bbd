package boltstore

import (
	"bytes"
	"context"
	"errors"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// List implements store.Store. It merges the index ranges of the wanted classes. It loads only the
// states that it returns, unless the filter needs data that is not indexed. One call reads at most
// scanLimit entries and loads at most loadLimit states that do not match. At a limit it returns a
// short page with a cursor.
func (s *Store) List(ctx context.Context, filter store.Filter, page store.Page) ([]store.Summary, string, error) {
	var behind *store.Position
	if page.Cursor != "" {
		p, err := filter.Position(page.Cursor)
		if err != nil {
			return nil, "", err
		}
		behind = &p
	}
	var list []store.Summary
	var cursor string
	err := s.view(ctx, func(tx *bolt.Tx) error {
		source, done := s.byIDs(tx, &filter, behind)
		if !done {
			source, done = s.byPrefix(tx, &filter, behind)
		}
		if !done {
			source = s.byIndex(tx, &filter, behind)
		}
		list, cursor = s.fill(tx, &filter, page.Size(), source)
		return nil
	})
	return list, cursor, err
}

// fill reads lines from next and loads their sagas until the page is full or a limit is reached.
func (s *Store) fill(tx *bolt.Tx, filter *store.Filter, size int, next func() (line, bool)) ([]store.Summary, string) {
	var list []store.Summary
	var last line
	vain := 0
	for seen := 0; ; seen++ {
		l, ok := next()
		if !ok {
			return list, ""
		}
		if len(list) == size || seen == scanLimit || vain == loadLimit {
			return list, filter.Cursor(position(last))
		}
		last = l
		if l.damage != nil { // the head is damaged, so only the id is known
			list = append(list, store.Summary{ID: l.id, Damage: l.damage.Error()})
			continue
		}
		if !filter.WantsDefinition(l.ref) || !filter.WantsStart(instant(l.started)) || !filter.WantsID(l.id) {
			continue
		}
		in, err := s.load(tx, l.id)
		if err != nil {
			s.report(err)
			if !filter.ByState() && errors.Is(err, store.ErrCorrupt) {
				list = append(list, store.Summary{ID: l.id, Definition: l.ref, Phase: l.class.Phase(), Started: instant(l.started), Damage: err.Error()})
			}
			continue
		}
		if !filter.WantsState(in) {
			vain++
			continue
		}
		list = append(list, store.Summarize(in))
	}
}

func position(l line) store.Position {
	return store.Position{Started: instant(l.started), ID: l.id}
}

// byIndex returns an iterator over the index entries of the wanted classes in list order, after a
// position. The filter's range of start times bounds the scan too.
func (s *Store) byIndex(tx *bolt.Tx, filter *store.Filter, behind *store.Position) func() (line, bool) {
	var scans []*scan
	for _, class := range store.Classes {
		if filter.Wants(class) {
			c := &scan{store: s, class: byte(class), cursor: tableIndex.bucket(tx).Cursor()}
			c.seek(c.start(filter, behind))
			scans = append(scans, c)
		}
	}
	return func() (line, bool) {
		var best *scan
		for _, c := range scans {
			if c.live && (best == nil || position(c.line).Before(position(best.line))) {
				best = c
			}
		}
		if best == nil || !filter.StartedAfter.IsZero() && best.line.started < nano(filter.StartedAfter) {
			return line{}, false
		}
		l := best.line
		best.next()
		return l, true
	}
}

// scan reads one class of the index.
type scan struct {
	store  *Store
	class  byte
	cursor *bolt.Cursor
	line   line
	live   bool // whether line is valid
}

// start returns the key below which the scan begins. It is the lower of two keys: the key of the
// page cursor's position, and the end of the range of start times.
func (c *scan) start(filter *store.Filter, behind *store.Position) []byte {
	from := []byte{c.class + 1}
	if before := filter.StartsBefore(); !before.IsZero() {
		from = startKey(c.class, nano(before))
	}
	if behind != nil {
		if key := indexKey(store.Class(c.class), nano(behind.Started), behind.ID); bytes.Compare(key, from) < 0 {
			from = key
		}
	}
	return from
}

// seek moves to the last entry below a key. A key with a flipped bit misleads the binary search, so
// seek first steps forward past damaged keys and past entries below the key.
func (c *scan) seek(below []byte) {
	k, v := c.cursor.Seek(below)
	for k != nil && (!c.intact(k, v) || bytes.Compare(k, below) < 0) {
		k, v = c.cursor.Next()
	}
	if k == nil {
		c.take(c.cursor.Last())
		return
	}
	c.take(c.cursor.Prev())
}

func (c *scan) next() { c.take(c.cursor.Prev()) }

// take makes the first readable entry the current line. Only an intact key of a different class
// ends the scan.
func (c *scan) take(k, v []byte) {
	for ; k != nil; k, v = c.cursor.Prev() {
		if k[0] != c.class {
			if c.intact(k, v) {
				break
			}
			continue
		}
		l, err := parseLine(k, v)
		if err == nil {
			c.line, c.live = l, true
			return
		}
		c.store.report(err)
	}
	c.live = false
}

// intact reports whether a key is unchanged since it was written. It passes a changed key to
// Store.report.
func (c *scan) intact(k, v []byte) bool {
	if tableIndex.intact(k, v) {
		return true
	}
	c.store.report(tableIndex.corrupt(k, "the checksum of its key is wrong"))
	return false
}

// byPrefix returns an iterator over the sagas whose ids have the filter's prefix, so that a search
// for one id need not scan the index. done is false if there is no prefix, or if there are too many
// sagas to sort in memory.
func (s *Store) byPrefix(tx *bolt.Tx, filter *store.Filter, behind *store.Position) (next func() (line, bool), done bool) {
	if filter.IDPrefix == "" {
		return nil, false
	}
	prefix := []byte(filter.IDPrefix)
	var lines []line
	c := tableSagas.bucket(tx).Cursor()
	n := 0
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if n++; n > prefixLimit {
			return nil, false
		}
		body, err := tableSagas.open(k, v)
		err = of(contract.SagaID(k), err)
		var h head
		if err == nil {
			h, _, err = s.openHead(contract.SagaID(k), body, v[0] == frameSealed)
		}
		if err != nil {
			s.report(err)
			if l := (line{id: contract.SagaID(k), damage: err}); l.id.Check() == nil && !filter.ByState() && (behind == nil || behind.Before(position(l))) {
				lines = append(lines, l)
			}
			continue
		}
		l := line{started: h.started, id: contract.SagaID(k), ref: h.ref, class: h.class}
		if filter.Wants(h.class) && (behind == nil || behind.Before(position(l))) {
			lines = append(lines, l)
		}
	}
	return inOrder(lines), true
}

// byIDs returns an iterator over the sagas that the filter lists by id. done is false if the filter
// lists no ids.
func (s *Store) byIDs(tx *bolt.Tx, filter *store.Filter, behind *store.Position) (next func() (line, bool), done bool) {
	if len(filter.IDs) == 0 {
		return nil, false
	}
	var lines []line
	for _, id := range slices.Compact(slices.Sorted(slices.Values(filter.IDs[:min(len(filter.IDs), store.MaxPage)]))) {
		h, _, err := s.loadHead(tx, id)
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrEnded):
			continue
		case err != nil:
			s.report(err)
			if l := (line{id: id, damage: err}); !filter.ByState() && (behind == nil || behind.Before(position(l))) {
				lines = append(lines, l)
			}
			continue
		}
		l := line{started: h.started, id: id, ref: h.ref, class: h.class}
		if filter.Wants(h.class) && (behind == nil || behind.Before(position(l))) {
			lines = append(lines, l)
		}
	}
	return inOrder(lines), true
}

// inOrder returns an iterator over lines in list order.
func inOrder(lines []line) func() (line, bool) {
	slices.SortFunc(lines, func(a, b line) int {
		if position(a).Before(position(b)) {
			return -1
		}
		return 1
	})
	return func() (line, bool) {
		if len(lines) == 0 {
			return line{}, false
		}
		l := lines[0]
		lines = lines[1:]
		return l, true
	}
}
