package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/plural"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
)

// maxFindings bounds the findings that Verify reports.
const maxFindings = 100

// Verify reads the whole state. It checks the structure of the file and every row, that the parts of
// every saga can be read, and that sagas, indexes and counts agree: no row is missing, and none is
// left over. It returns at most 100 findings as a joined error, or nil if the state is intact. It can
// run while the store is in use; it does not see what only the log and the overlay hold.
func (s *Store) Verify(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return boltfile.Guard(func() error {
		findings, err := s.verify(ctx)
		return errors.Join(append(findings, err)...)
	})
}

// Verified is what Verify found besides damage.
type Verified struct {
	Info    Info
	Sagas   int       // in the state, without tombstones
	Open    int       // of these, the ones that have not ended
	Records uint64    // of the log, which the state does not contain yet
	Torn    int64     // bytes of a torn record at the end of the log, which the next Open discards; usually 0
	Skipped []Skipped // records of the log that were made void, at any time
	Kept    []Kept    // why the log is kept although the state contains the rest of it
}

// Kept is a saga for which the log is kept, because it is damaged and the log has changes of it.
type Kept struct {
	Saga contract.SagaID
	From uint64 // record with the oldest of these changes
}

// Verify checks a store that no process has open, and changes neither its state nor its log: the state
// as Store.Verify does, and that the log continues it, is whole, and can be decoded. It returns the
// errors of Open, and at most 100 findings as a joined error.
func Verify(ctx context.Context, path string, options Options) (Verified, error) {
	v, err := verify(ctx, path, options)
	if err != nil {
		return v, fmt.Errorf("verify store %s: %w", path, err)
	}
	return v, nil
}

func verify(ctx context.Context, path string, options Options) (v Verified, err error) {
	options.readOnly = true
	if options, err = options.withDefaults(); err != nil {
		return v, err
	}
	if _, err := os.Stat(path); err != nil {
		return v, err
	}
	s := newStore(path, options)
	if s.db, err = openFile(path, options, s.report); err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, boltfile.Guard(s.db.Close)) }()
	err = boltfile.Guard(func() error {
		self, err := s.readState()
		if err != nil {
			return err
		}
		v.Info, v.Skipped = s.info, skippedRecords(self)
		if err := s.readCounts(); err == nil { // otherwise verify finds it
			for t, n := range s.counts {
				switch {
				case t.class == 0:
				case t.class.Open():
					v.Sagas, v.Open = v.Sagas+n, v.Open+n
				default:
					v.Sagas += n
				}
			}
		}
		findings, err := s.verify(ctx)
		return errors.Join(errors.Join(findings...), err, s.verifyLog(ctx, self, &v))
	})
	return v, err
}

// verifyLog reads the part of the log that the state does not contain.
func (s *Store) verifyLog(ctx context.Context, self *amendsv1.StoreRow, v *Verified) error {
	mark := markOf(self)
	if mark == (log.Mark{}) {
		return checkUnused(logPath(s.info.Path))
	}
	f := s.follow(self, mark)
	last, torn, err := log.Scan(logPath(s.info.Path), mark, func(r log.Record) error {
		items, err := f.next(&r)
		if err == nil {
			err = v.keep(s, r.Number, items)
		}
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return lost(err)
	}
	v.Records, v.Torn = last.Number-mark.Number, torn
	return nil
}

// keep notes the damaged sagas of which a record has changes, until one removes them.
func (v *Verified) keep(s *Store, record uint64, items *amendsv1.LogItems) error {
	for _, item := range items.GetItems() {
		id := contract.SagaID(item.Saga)
		if item.Entry != nil {
			continue
		}
		if item.Fresh { // it replaces what is damaged
			v.Kept = slices.DeleteFunc(v.Kept, func(k Kept) bool { return k.Saga == id })
			continue
		}
		known := slices.ContainsFunc(v.Kept, func(k Kept) bool { return k.Saga == id })
		o, err := s.current(id)
		if err != nil {
			return err
		}
		if o.damage != nil && !known && len(v.Kept) < maxFindings {
			v.Kept = append(v.Kept, Kept{id, record})
		}
	}
	return nil
}

// verify returns its findings about rows. If it could not check all rows, err is errStructure or the
// error of ctx.
func (s *Store) verify(ctx context.Context) (findings []error, err error) {
	v := &verification{ctx: ctx, s: s, counts: map[tally]int{}, want: map[table]int{}, have: map[table]int{}}
	err = s.db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			v.find(&store.CorruptError{What: "structure of the database file", Why: err.Error()})
		}
		if len(v.findings) > 0 {
			return errStructure
		}
		v.w = &window{s: s, tx: tx}
		for t := range tables {
			if err := v.table(table(t)); err != nil {
				return err
			}
		}
		if err := v.sagas(); err != nil {
			return err
		}
		v.agree()
		return nil
	})
	return v.findings, err
}

// verification checks one snapshot.
type verification struct {
	ctx      context.Context
	s        *Store
	w        *window
	findings []error
	counts   map[tally]int // of the sagas
	want     map[table]int // rows that the sagas' heads name
	have     map[table]int // rows that there are
}

func (v *verification) find(err error) {
	if err != nil && len(v.findings) < maxFindings {
		v.findings = append(v.findings, err)
	}
}

// table checks the frames of a table, and the content of what belongs to no saga.
func (v *verification) table(t table) error {
	return t.bucket(v.w.tx).ForEach(func(k, value []byte) error {
		v.have[t]++
		body, err := t.open(k, value)
		if err == nil && t == tableDefinitions {
			_, err = v.s.definition(k, body)
		}
		v.find(err)
		return v.ctx.Err()
	})
}

// sagas checks every saga that the table ids names.
func (v *verification) sagas() error {
	err := tableIDs.bucket(v.w.tx).ForEach(func(k, value []byte) error {
		if body, err := tableIDs.open(k, value); err == nil && len(body) == 8 {
			v.saga(unsortable(binary.BigEndian.Uint64(body)), contract.SagaID(k))
		}
		return v.ctx.Err()
	})
	return err
}

// saga checks one saga.
func (v *verification) saga(started int64, id contract.SagaID) {
	h, err := readHeadAt(v.w.tx, started, id)
	if err != nil {
		v.find(err)
		return
	}
	tallies(h, func(t tally, n int) { v.counts[t] += n }, 1)
	for _, r := range rows(id, h, nil) {
		v.want[r.table]++
		if r.table.bucket(v.w.tx).Get(r.key) == nil {
			v.find(&store.CorruptError{What: r.table.String() + " of saga " + string(id), Why: "its row is missing", Saga: id})
		}
	}
	c, err := v.w.contentOf(&saga{id: id, stored: h})
	switch {
	case errors.Is(err, store.ErrEnded):
		v.rows(id, h, 1)
		return
	case err != nil: // the damage of a saga that can be read
		v.find(err)
		v.parts(id, h)
		return
	}
	_, err = c.state()
	v.find(withSaga(id, err))
	_, err = c.history(1, int(h.Revision))
	v.find(withSaga(id, err))
	for _, name := range h.Data {
		_, err = c.named(name)
		v.find(withSaga(id, err))
	}
	for _, p := range h.Pending {
		_, err = c.message(p)
		v.find(withSaga(id, err))
	}
	v.rows(id, h, 2+len(h.Data))
}

// rows checks that a saga has no more parts than it needs, besides its events.
func (v *verification) rows(id contract.SagaID, h *head, want int) {
	if n := v.parts(id, h); n != want {
		v.find(&store.CorruptError{
			What: "parts of saga " + string(id), Saga: id,
			Why: fmt.Sprintf("there are %s in table %s instead of %d", plural.Of(n, "row", "rows"), tableSagas, want),
		})
	}
}

// parts counts the rows of a saga, and returns how many of them hold no events.
func (v *verification) parts(id contract.SagaID, h *head) (n int) {
	prefix := sagaPrefix(h.StartedUnixNano, id)
	c := tableSagas.bucket(v.w.tx).Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		if len(k) > len(prefix) && k[len(prefix)] != partEvents {
			n++
		}
		v.want[tableSagas]++
	}
	return n
}

// agree compares the numbers of rows, and the counts.
func (v *verification) agree() {
	for _, t := range []table{tableIDs, tableSagas, tableIndex, tableTimers, tableExpiry, tablePending} {
		if v.have[t] > v.want[t] {
			v.find(&store.CorruptError{What: "table " + t.String(), Why: fmt.Sprintf("%s to no saga",
				plural.Of(v.have[t]-v.want[t], "row belongs", "rows belong"))})
		}
	}
	err := tableCounts.bucket(v.w.tx).ForEach(func(k, value []byte) error {
		t, ok := parseTally(k)
		body, err := tableCounts.open(k, value)
		n, _ := binary.Varint(body)
		if err == nil && (!ok || v.counts[t] != int(n)) {
			v.find(tableCounts.corrupt(k, fmt.Sprintf("it counts %d, but there are %d", n, v.counts[t])))
		}
		delete(v.counts, t)
		return nil
	})
	v.find(err)
	for t, n := range v.counts {
		v.find(tableCounts.corrupt(t.key(), fmt.Sprintf("it is missing, but there are %d", n)))
	}
}
