package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
)

// List implements store.Store. It reads the index of the wanted classes, as of one moment. It loads only
// the states that it returns, unless the filter needs data that is not indexed. One call reads at most
// scanLimit entries and loads at most loadLimit states that do not match. At a limit it returns a short
// page with a cursor.
func (s *Store) List(ctx context.Context, filter store.Filter, page store.Page) (found []store.Summary, cursor string, err error) {
	l := &listing{filter: &filter, size: page.Size()}
	if page.Cursor != "" {
		p, err := filter.Position(page.Cursor)
		if err != nil {
			return nil, "", err
		}
		l.behind = &p
	}
	err = s.view(ctx, func(w *window) (err error) {
		lines := l.byStart(w)
		if few, sorted := l.byID(w); sorted {
			lines = slices.Values(few)
		}
		found, cursor, err = l.page(ctx, w, lines)
		return err
	})
	return found, cursor, err
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
	filter *store.Filter
	size   int
	behind *store.Position // what was read; nil at the beginning
}

// byStart iterates over the sagas of the wanted classes, in list order.
func (l *listing) byStart(w *window) iter.Seq[*line] {
	return func(yield func(*line) bool) {
		var scans []*scan
		var lines []*line // the next of each scan
		for _, class := range store.Classes {
			if l.filter.Wants(class) {
				c := w.scan(l.span(class), indexOwner)
				scans, lines = append(scans, c), append(lines, indexLine(c.next()))
			}
		}
		for {
			first := -1
			for i, at := range lines {
				if at != nil && (first < 0 || at.Before(lines[first].Position)) {
					first = i
				}
			}
			if first < 0 || !yield(lines[first]) {
				return
			}
			lines[first] = indexLine(scans[first].next())
		}
	}
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

// indexLine returns the line of an entry of the index, or nil if e is nil.
func indexLine(e *entry) *line {
	if e == nil {
		return nil
	}
	l := new(line)
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

// page returns the matching sagas of a page, and the cursor of the next one.
func (l *listing) page(ctx context.Context, w *window, lines iter.Seq[*line]) (found []store.Summary, cursor string, err error) {
	seen, mismatches := 0, 0
	for at := range lines {
		if len(found) == l.size || seen == scanLimit || mismatches == loadLimit {
			return found, l.filter.Cursor(*l.behind), nil
		}
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		seen, l.behind = seen+1, &at.Position
		sum, match, err := l.summary(w, at)
		if err != nil {
			w.s.report(err)
		} else if !match {
			mismatches++
		}
		if sum != nil {
			found = append(found, *sum)
		}
	}
	return found, "", nil
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
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrEnded) { // the entry is left over
		return nil, true, nil
	}
	if !l.filter.ByState() && errors.Is(err, store.ErrCorrupt) {
		sum = &store.Summary{ID: at.ID, Definition: at.ref, Phase: at.class.Phase(), Started: at.Started, Damage: err.Error()}
	}
	return sum, true, err
}

// byID returns the sagas with certain ids, or with a prefix of the id, in list order. sorted is false if
// the filter has neither, or if too many sagas have the prefix to sort them in memory.
func (l *listing) byID(w *window) (lines []*line, sorted bool) {
	ids := slices.Clone(l.filter.IDs[:min(len(l.filter.IDs), store.MaxPage)])
	if len(ids) == 0 && l.filter.IDPrefix == "" {
		return nil, false
	}
	if len(ids) == 0 {
		c := w.scan(prefixed(tableIDs, []byte(l.filter.IDPrefix)), idOwner)
		for e := c.next(); e != nil; e = c.next() {
			if ids = append(ids, contract.SagaID(e.key)); len(ids) > prefixLimit {
				return nil, false
			}
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		at := w.line(id)
		if at != nil && (at.damage != nil && !l.filter.ByState() || at.damage == nil && l.filter.Wants(at.class)) &&
			(l.behind == nil || l.behind.Before(at.Position)) {
			lines = append(lines, at)
		}
	}
	slices.SortFunc(lines, func(a, b *line) int {
		if a.Before(b.Position) {
			return -1
		}
		return 1
	})
	return lines, true
}

func idOwner(key, body []byte) (contract.SagaID, bool) { return contract.SagaID(key), len(body) == 8 }

// line returns the line of one saga, or nil if it does not exist, or is removed.
func (w *window) line(id contract.SagaID) *line {
	s, err := w.find(id)
	if err != nil {
		w.s.report(err)
		if id.Check() != nil {
			return nil
		}
		return &line{Position: store.Position{ID: id}, damage: err}
	}
	h := s.head()
	if h.GetClass() == 0 {
		return nil
	}
	return &line{
		Position: store.Position{Started: instant(h.StartedUnixNano), ID: id},
		ref:      protoconv.FromRef(h.Definition), class: store.Class(h.Class),
	}
}

// Due implements store.Store.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) (ids []contract.SagaID, next time.Time, err error) {
	err = s.view(ctx, func(w *window) error {
		c := w.scan(span{table: tableTimers}, timerOwner)
		for e := c.next(); e != nil; e = c.next() {
			at, id, _ := parseTimeKey(0, e.key)
			if instant(at).After(now) || len(ids) == store.Bounded(limit) {
				next = instant(at)
				return nil
			}
			ids = append(ids, id)
		}
		return nil
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
		hidden := s.hidden() // before the window: what is in the log by then is not in the overlay any more
		err := s.view(ctx, func(w *window) error {
			batch, last = w.pending(rest, hidden)
			return nil
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

// pending reads the first messages of a span. It skips hidden and damaged ones. last is the last key
// that it has read, or nil at the end.
func (w *window) pending(s span, hidden map[outbox.ID]struct{}) (batch []pendingRecord, last []byte) {
	c := w.scan(s, pendingOwner)
	read, size := 0, 0
	for e := c.next(); e != nil; e = c.next() {
		if read == pendingBatch || size > pendingBytes {
			return batch, last
		}
		read, last = read+1, bytes.Clone(e.key)
		r, err := w.record(e)
		if err != nil {
			w.s.report(err)
		} else if _, discarded := hidden[r.ID]; !discarded {
			batch = append(batch, *r)
			size += len(r.Envelope.Data)
		}
	}
	return batch, nil
}

func pendingOwner(_, body []byte) (contract.SagaID, bool) {
	m := new(amendsv1.PendingRow)
	err := protoconv.Unmarshal(body, m)
	return contract.SagaID(m.Saga), err == nil
}

// record returns a pending message.
func (w *window) record(e *entry) (*pendingRecord, error) {
	s, m := e.saga, new(amendsv1.PendingRow)
	if s == nil {
		if err := protoconv.Unmarshal(e.body, m); err != nil {
			return nil, err
		}
		s = &saga{id: contract.SagaID(m.Saga)}
		var err error
		if s.stored, err = readHeadAt(w.tx, m.StartedUnixNano, s.id); err != nil {
			return nil, err
		}
	}
	to, at := parsePendingKey(e.key)
	c, err := w.contentOf(s)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(c.head.Pending, func(p *amendsv1.PendingRef) bool { return positionOf(p) == at && p.To == string(to) })
	if i < 0 {
		return nil, tablePending.corrupt(e.key, "its saga does not name it as pending")
	}
	var r outbox.Record
	if e.saga != nil {
		r, err = c.message(c.head.Pending[i])
	} else { // a damaged key beside it could hide the row from another search
		r, err = c.messageOf(c.head.Pending[i], m.Body)
	}
	return &pendingRecord{r, at}, err
}
