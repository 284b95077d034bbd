package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
)

// List implements store.Store. It reads the index of the wanted classes in batches, each in a window of
// its own. It loads only the states that it returns, unless the filter needs data that is not indexed.
// One call reads at most scanLimit entries and loads at most loadLimit states that do not match. At a
// limit it returns a short page with a cursor.
func (s *Store) List(ctx context.Context, filter store.Filter, page store.Page) ([]store.Summary, string, error) {
	l := &listing{filter: &filter, size: page.Size()}
	if page.Cursor != "" {
		p, err := filter.Position(page.Cursor)
		if err != nil {
			return nil, "", err
		}
		l.behind = &p
	}
	if lines, done, err := s.byID(ctx, l); done || err != nil {
		if err == nil {
			err = s.view(ctx, func(w *window) error { return l.page(w, lines, true) })
		}
		return l.found, l.cursor, err
	}
	for !l.done {
		err := s.view(ctx, func(w *window) error {
			lines, all, err := l.lines(w)
			if err == nil {
				err = l.page(w, lines, all)
			}
			return err
		})
		if err != nil {
			return nil, "", err
		}
	}
	return l.found, l.cursor, nil
}

// line is a saga in a list, before its state is read.
type line struct {
	store.Position

	ref    contract.DefinitionRef
	class  store.Class
	damage error // why only the id is known, or nil
}

// listing is a List call in progress.
type listing struct {
	filter     *store.Filter
	size       int
	behind     *store.Position // what was read; nil at the beginning
	found      []store.Summary
	cursor     string
	done       bool
	seen       int // entries that were read
	mismatches int // states that were loaded and do not match
}

// lines returns the next entries of the wanted classes in list order. all reports whether there are no
// more.
func (l *listing) lines(w *window) (lines []line, all bool, err error) {
	var batches []batch
	for _, class := range store.Classes {
		if l.filter.Wants(class) {
			batches = append(batches, batch{span: l.span(class)})
		}
	}
	if err := w.fill(batches, listBatch, indexOwner); err != nil {
		return nil, false, err
	}
	var end *store.Position // up to which all classes were read; nil: to their ends
	for i := range batches {
		b := &batches[i]
		for k := range b.entries {
			lines = append(lines, indexLine(&b.entries[k]))
		}
		if b.last != nil {
			_, started, id, _ := parseIndexKey(b.last)
			if p := (store.Position{Started: instant(started), ID: id}); end == nil || p.Before(*end) {
				end = &p
			}
		}
	}
	inOrder(lines)
	if end == nil {
		return lines, true, nil
	}
	behind := slices.IndexFunc(lines, func(a line) bool { return end.Before(a.Position) })
	if behind < 0 {
		behind = len(lines)
	}
	return lines[:behind], false, nil
}

// span returns the part of a class's index that is still to be read.
func (l *listing) span(class store.Class) span {
	s := span{table: tableIndex, low: []byte{byte(class)}, high: []byte{byte(class) + 1}, back: true}
	at := func(t time.Time) []byte {
		return binary.BigEndian.AppendUint64([]byte{byte(class)}, sortable(nano(t)))
	}
	if !l.filter.StartedAfter.IsZero() {
		s.low = at(l.filter.StartedAfter)
	}
	if before := l.filter.StartsBefore(); !before.IsZero() {
		s.high = at(before)
	}
	if l.behind != nil {
		if k := indexKey(class, nano(l.behind.Started), l.behind.ID); string(k) < string(s.high) {
			s.high = k
		}
	}
	return s
}

func indexOwner(key, body []byte) (contract.SagaID, bool) {
	_, _, id, ok := parseIndexKey(key)
	return id, ok && len(body) > 1
}

func indexLine(e *entry) (l line) {
	var started int64
	l.class, started, l.ID, _ = parseIndexKey(e.key)
	l.Started = instant(started)
	if e.saga != nil {
		l.ref = protoconv.FromRef(e.saga.head().Definition)
		return l
	}
	version, n := binary.Uvarint(e.body)
	l.ref = contract.DefinitionRef{Name: string(e.body[max(n, 0):]), Version: int(version)}
	return l
}

// page adds the matching sagas of lines to the page. all reports whether there are no lines after them.
func (l *listing) page(w *window, lines []line, all bool) error {
	found, seen, mismatches, behind := l.found, l.seen, l.mismatches, l.behind
	end := func(cursor string) error {
		l.found, l.cursor, l.done = found, cursor, true
		return nil
	}
	for i := range lines {
		if len(found) == l.size || seen == scanLimit || mismatches == loadLimit {
			return end(l.filter.Cursor(*behind))
		}
		at := &lines[i]
		seen, behind = seen+1, &at.Position
		sum, match, err := l.summary(w, at)
		switch {
		case errors.Is(err, errMoved):
			return err
		case err != nil:
			w.s.report(err)
		case !match:
			mismatches++
		}
		if sum != nil {
			found = append(found, *sum)
		}
	}
	if all {
		return end("")
	}
	l.found, l.seen, l.mismatches, l.behind = found, seen, mismatches, behind
	return nil
}

// summary returns the summary of a saga, or nil if it is not listed. match is false if its state was
// read in mismatches.
func (l *listing) summary(w *window, at *line) (sum *store.Summary, match bool, err error) {
	switch {
	case at.damage != nil:
		return &store.Summary{ID: at.ID, Damage: at.damage.Error()}, true, nil
	case !l.filter.WantsDefinition(at.ref) || !l.filter.WantsStart(at.Started) || !l.filter.WantsID(at.ID):
		return nil, true, nil
	}
	c, err := w.content(at.ID)
	if err == nil {
		in, wrong := c.state()
		switch {
		case wrong != nil:
			err = withSaga(at.ID, wrong)
		case l.filter.WantsState(in):
			listed := store.Summarize(in)
			return &listed, true, nil
		default:
			return nil, false, nil
		}
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrEnded) { // removed since the lines were read
		return nil, true, nil
	}
	if !l.filter.ByState() && errors.Is(err, store.ErrCorrupt) {
		sum = &store.Summary{ID: at.ID, Definition: at.ref, Phase: at.class.Phase(), Started: at.Started, Damage: err.Error()}
	}
	return sum, true, err
}

// byID returns the lines of a listing by ids or by a prefix of the id. done is false if the filter has
// neither, or if too many sagas have the prefix to sort them in memory.
func (s *Store) byID(ctx context.Context, l *listing) (lines []line, done bool, err error) {
	if len(l.filter.IDs) == 0 && l.filter.IDPrefix == "" {
		return nil, false, nil
	}
	err = s.view(ctx, func(w *window) error {
		lines, done = nil, true
		ids := l.filter.IDs[:min(len(l.filter.IDs), store.MaxPage)]
		if len(ids) == 0 {
			entries, last, err := w.entries(prefixed(tableIDs, []byte(l.filter.IDPrefix)), prefixLimit, idOwner)
			if err != nil || last != nil {
				done = false
				return err
			}
			for i := range entries {
				ids = append(ids, contract.SagaID(entries[i].key))
			}
		}
		for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
			at, listed, err := w.line(id)
			if err != nil {
				return err
			}
			if listed && (at.damage != nil && !l.filter.ByState() || at.damage == nil && l.filter.Wants(at.class)) &&
				(l.behind == nil || l.behind.Before(at.Position)) {
				lines = append(lines, at)
			}
		}
		return nil
	})
	inOrder(lines)
	return lines, done, err
}

func idOwner(key, body []byte) (contract.SagaID, bool) { return contract.SagaID(key), len(body) == 8 }

// line returns the line of one saga. listed is false if it does not exist, or is removed.
func (w *window) line(id contract.SagaID) (at line, listed bool, err error) {
	s, err := w.find(id)
	at.ID = id
	switch {
	case errors.Is(err, errMoved):
		return at, false, err
	case err != nil:
		w.s.report(err)
		at.damage = err
		return at, id.Check() == nil, nil
	case s.head().GetClass() == 0:
		return at, false, nil
	}
	h := s.head()
	at.Started, at.ref, at.class = instant(h.StartedUnixNano), protoconv.FromRef(h.Definition), store.Class(h.Class)
	return at, true, nil
}

// inOrder sorts lines in list order.
func inOrder(lines []line) {
	slices.SortFunc(lines, func(a, b line) int {
		if a.Position.Before(b.Position) {
			return -1
		}
		return 1
	})
}

// Due implements store.Store.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) (ids []contract.SagaID, next time.Time, err error) {
	err = s.view(ctx, func(w *window) error {
		ids, next = nil, time.Time{}
		for rest := (span{table: tableTimers}); ; {
			entries, last, err := w.entries(rest, store.Bounded(limit)+1, timerOwner)
			if err != nil {
				return err
			}
			for i := range entries {
				at, id, _ := parseTimeKey(0, entries[i].key)
				if instant(at).After(now) || len(ids) == store.Bounded(limit) {
					next = instant(at)
					return nil
				}
				ids = append(ids, id)
			}
			if last == nil {
				return nil
			}
			rest = rest.behind(last)
		}
	})
	return ids, next, err
}

func timerOwner(key, _ []byte) (contract.SagaID, bool) {
	_, id, ok := parseTimeKey(0, key)
	return id, ok
}

// Pending implements store.Store. It reads in batches, each in a window of its own, and calls yield
// outside the windows.
func (s *Store) Pending(ctx context.Context, to outbox.Destination, after outbox.Position, yield func(outbox.Position, outbox.Record) bool) error {
	rest := prefixed(tablePending, append([]byte(to), 0)).behind(pendingKey(to, after))
	for {
		var batch []pendingRecord
		var last []byte
		err := s.view(ctx, func(w *window) (err error) {
			batch, last, err = w.pending(rest)
			return err
		})
		if err != nil {
			return err
		}
		for i := range batch {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !yield(batch[i].at, batch[i].Record) {
				return nil
			}
		}
		if last == nil {
			return nil
		}
		rest = rest.behind(last)
	}
}

type pendingRecord struct {
	outbox.Record

	at outbox.Position
}

// pending reads the first messages of a span. It skips discarded and damaged ones. last is the last key
// that it has read, or nil at the end.
func (w *window) pending(s span) (batch []pendingRecord, last []byte, err error) {
	entries, last, err := w.entries(s, pendingBatch, pendingOwner)
	if err != nil {
		return nil, nil, err
	}
	size := 0
	for i := range entries {
		if size > pendingBytes {
			return batch, entries[i-1].key, nil
		}
		r, err := w.record(&entries[i])
		switch {
		case errors.Is(err, errMoved):
			return nil, nil, err
		case err != nil:
			w.s.report(err)
		case r != nil:
			batch = append(batch, *r)
			size += len(r.Envelope.Data)
		}
	}
	return batch, last, nil
}

func pendingOwner(_, body []byte) (contract.SagaID, bool) {
	m := new(amendsv1.PendingRow)
	err := protoconv.Unmarshal(body, m)
	return contract.SagaID(m.Saga), err == nil
}

// record returns a pending message, or nil if it has been discarded.
func (w *window) record(e *entry) (*pendingRecord, error) {
	s, m := e.saga, new(amendsv1.PendingRow)
	if s == nil {
		if err := protoconv.Unmarshal(e.body, m); err != nil {
			return nil, err
		}
		stored, err := w.readAt(m.StartedUnixNano, contract.SagaID(m.Saga))
		if err != nil {
			return nil, err
		}
		s = &saga{id: contract.SagaID(m.Saga), stored: stored}
	}
	to, at := parsePendingKey(e.key)
	c, err := w.contentOf(*s)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(c.head.Pending, func(p *amendsv1.PendingRef) bool { return positionOf(p) == at && p.To == string(to) })
	if i < 0 {
		return nil, tablePending.corrupt(e.key, "its saga does not name it as pending")
	}
	if w.s.isDiscarded(c.owner.idOf(c.head.Pending[i])) {
		return nil, nil
	}
	var r outbox.Record
	if e.saga != nil {
		r, err = c.message(c.head.Pending[i])
	} else { // a damaged key beside it could hide the row from another search
		r, err = c.messageOf(c.head.Pending[i], m.Body)
	}
	return &pendingRecord{r, at}, err
}
