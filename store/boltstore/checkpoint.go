package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
)

// checkpointRequest is work for the goroutine that writes checkpoints.
type checkpointRequest struct {
	work func() error
	done chan error
}

// checkpointLoop runs in the only goroutine that writes checkpoints. It writes one when the overlay, or
// the log behind the last checkpoint, is large, when the oldest change that bbolt lacks is old, and on
// request.
func (s *Store) checkpointLoop() {
	defer close(s.checkpointed)
	tick := time.NewTicker(checkpointCheck)
	defer tick.Stop()
	for {
		select {
		case <-s.stopped:
			return
		case r := <-s.checkpoints:
			r.done <- r.work()
		case <-s.large:
			_ = s.checkpoint(nil) // an error has broken the store, or the disk is full
		case <-tick.C:
			if s.isOld() || s.stateFull() != nil {
				_ = s.checkpoint(nil)
			}
		}
	}
}

// Checkpoint writes what is committed to the state's file now, as the store does by itself in time. If
// the disk is full, it returns that error; nothing is lost, because the log holds what the file lacks.
func (s *Store) Checkpoint(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return s.onCheckpointer(ctx, func() error { return s.checkpoint(nil) }, func() {})
}

// onCheckpointer runs work between checkpoints. If ctx ends before the work does, undo is called after it has
// succeeded.
func (s *Store) onCheckpointer(ctx context.Context, work func() error, undo func()) error {
	r := &checkpointRequest{work, make(chan error, 1)}
	select {
	case s.checkpoints <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.checkpointed:
		return store.ErrClosed
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		go func() {
			if <-r.done == nil {
				undo()
			}
		}()
		return ctx.Err()
	}
}

// backlog returns how much there is for a checkpoint to write, in bytes.
func (s *Store) backlog() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return max(s.overlay.size, s.logged)
}

// wakeCheckpoint starts a checkpoint if there is enough for it to write.
func (s *Store) wakeCheckpoint() {
	if s.backlog() >= s.options.CheckpointSize && !s.options.manual {
		signal(s.large)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *Store) isOld() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !s.options.manual && !s.oldest.IsZero() && time.Since(s.oldest) >= s.options.CheckpointAge
}

// awaitRoom waits until the overlay may grow. A commit waits only if checkpoints are slower than
// commits, or if the disk is full.
func (s *Store) awaitRoom() error {
	defer s.setWaiting(NotWaiting, nil)
	for {
		limit, what, full := waitFactor*s.options.CheckpointSize, WaitingCheckpoint, s.stateFull()
		if full != nil {
			limit, what = fullFactor*s.options.CheckpointSize, WaitingStateFull
		}
		if s.backlog() < limit || s.options.manual {
			return nil
		}
		if err := s.failure(); err != nil {
			return err
		}
		s.setWaiting(what, full)
		signal(s.large)
		select {
		case <-s.progress:
		case <-time.After(fullRetry):
			if s.stateFull() != nil && s.isClosing() {
				return store.ErrClosed
			}
		}
	}
}

// dirty returns the sagas that bbolt lacks, in the order of their rows.
func (s *Store) dirty() (list []*saga) {
	for _, o := range s.overlay.sagas.Values() {
		if len(o.items) > 0 {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *saga) int {
		return cmp.Or(cmp.Compare(a.head().GetStartedUnixNano(), b.head().GetStartedUnixNano()), cmp.Compare(a.id, b.id))
	})
	return list
}

// checkpoint writes to bbolt, in pieces, what it lacks at this moment. Each saga is written as it is
// when its turn comes, with all its rows and counts in one transaction, so bbolt is consistent after
// every piece. The mark is written with the last.
func (s *Store) checkpoint(final func() error) error {
	s.mu.Lock()
	mark, item, logged := s.saved, s.savedItem, s.logged
	if len(s.overlay.damaged()) == 0 {
		mark, item = s.mark, s.item
	}
	sagas := s.dirty()
	entries := maps.Clone(s.entries)
	maps.DeleteFunc(entries, func(_ string, v *value) bool { return !v.dirty })
	s.begin(logged)
	s.mu.Unlock()
	self := func(tx *bolt.Tx) error {
		for k, v := range entries {
			if err := table(k[0]).put(tx, []byte(k[1:]), v.data); err != nil {
				return err
			}
		}
		s.mu.RLock()
		last := s.item
		s.mu.RUnlock()
		return errors.Join(putSelf(tx, marked(s.self, mark, item, last)), putKey(tx, s.options.Keys))
	}
	for again := true; again; again = len(sagas) > 0 {
		began := time.Now()
		written, rest, err := s.piece(sagas, self)
		if err != nil {
			return err
		}
		s.evict(written)
		crashpoint.Here(crashpoint.PieceWritten)
		s.options.step("piece")
		signal(s.progress)
		if sagas = rest; len(sagas) > 0 {
			s.throttle(time.Since(began))
		}
	}
	// The mark is on both root pages before the log goes: then one damaged root page loses nothing.
	if err := s.update(self); err != nil {
		return err
	}
	s.mu.Lock()
	s.saved, s.savedItem = mark, item // only now: a checkpoint that found no room may not release the log
	s.logged, s.writing = s.logged-logged, time.Time{}
	for _, v := range entries {
		v.dirty = false
	}
	s.mu.Unlock()
	s.counters.checkpoint()
	crashpoint.Here(crashpoint.CheckpointMarked)
	s.options.step("marked")
	s.log.Release(mark.Number)
	crashpoint.Here(crashpoint.LogReleased)
	s.options.step("released")
	if final == nil {
		return nil
	}
	return final()
}

// begin notes since when there are the changes that a checkpoint writes. Store.mu is locked.
func (s *Store) begin(logged int64) {
	if s.writing.IsZero() { // otherwise the last checkpoint found no room
		s.writing = s.oldest
	}
	if s.writing.IsZero() && logged > 0 { // replayed
		s.writing = time.Now()
	}
	s.oldest = time.Time{}
}

// throttle waits as long as the piece took, so that commits get half of the disk, unless the overlay is
// nearly full.
func (s *Store) throttle(took time.Duration) {
	if s.backlog() > s.options.CheckpointSize*3/2 || s.options.manual {
		return
	}
	select {
	case <-time.After(took):
	case <-s.closing:
	}
}

// piece writes as many of the sagas as fit into one transaction. With the last of them, it calls self.
func (s *Store) piece(sagas []*saga, self func(*bolt.Tx) error) (written, rest []*saga, err error) {
	total := int64(0)
	s.mu.RLock()
	for len(sagas) > 0 && len(written) < s.options.pieceSagas && total < pieceBytes {
		v, _ := s.overlay.sagas.Get(sagas[0].id)
		written = append(written, v)
		for _, item := range v.items {
			total += sizeOf(item)
		}
		sagas = sagas[1:]
	}
	s.mu.RUnlock()
	var swept map[tally]int
	err = s.update(func(tx *bolt.Tx) error {
		counts := map[tally]int{}
		swept = map[tally]int{}
		add := func(t tally, n int) { counts[t] += n }
		for _, v := range written {
			if v.sweep {
				err := (&remains{id: v.id}).sweep(tx, func(t tally, n int) { swept[t] += n; add(t, n) })
				if err != nil {
					return err
				}
			}
			tallies(v.stored, add, -1)
			tallies(v.head(), add, 1)
			if err := v.write(tx); err != nil {
				return err
			}
		}
		if err := addCounts(tx, counts); err != nil || len(sagas) > 0 {
			return err
		}
		return self(tx)
	})
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, n := range swept { // apply could not know them
		s.count(t, n)
	}
	return written, sagas, nil
}

// write brings the rows of a saga from what is stored to what it is now.
func (s *saga) write(tx *bolt.Tx) error {
	items, stored := s.parts()
	if !stored && s.stored != nil {
		if err := deleteAll(tx, tableSagas, sagaPrefix(s.stored.StartedUnixNano, s.id)); err != nil {
			return err
		}
	}
	h := s.head()
	if err := replace(tx, rows(s.id, s.stored, h), rows(s.id, h, s.stored)); err != nil || h == nil {
		return err
	}
	put := func(part byte, name, body []byte) error {
		return tableSagas.put(tx, partKey(h.StartedUnixNano, s.id, part, name), body)
	}
	var events [][]byte
	var errs []error
	for _, item := range items {
		events = append(events, item.Events...)
		if len(item.Start) > 0 {
			errs = append(errs, put(partStart, nil, item.Start))
		}
		for _, d := range item.Data {
			errs = append(errs, put(partData, d.Name, d.Data))
		}
	}
	if len(events) > 0 {
		first := binary.BigEndian.AppendUint64(nil, h.Revision-uint64(len(events))+1)
		errs = append(errs, put(partEvents, first, mustMarshal(&amendsv1.EventsRow{Events: events})))
	}
	for _, p := range h.Pending {
		if body := messageIn(items, p); body != nil {
			row := mustMarshal(&amendsv1.PendingRow{
				Saga: string(s.id), StartedUnixNano: h.StartedUnixNano, Revision: p.Revision, Index: p.Index, Body: body,
			})
			errs = append(errs, tablePending.put(tx, pendingKey(outbox.Destination(p.To), positionOf(p)), row))
		}
	}
	return errors.Join(append(errs, put(partHead, nil, mustMarshal(h)))...)
}

// replace deletes old rows and puts new ones. It does not put messages.
func replace(tx *bolt.Tx, old, now []row) error {
	var errs []error
	for _, r := range old {
		errs = append(errs, r.table.delete(tx, r.key))
	}
	for _, r := range now {
		if r.table != tablePending {
			errs = append(errs, r.table.put(tx, r.key, r.body))
		}
	}
	return errors.Join(errs...)
}

// deleteAll deletes the rows whose keys have a prefix. A row beside a damaged key may stay: bbolt does not
// find it. Verify reports it then.
func deleteAll(tx *bolt.Tx, t table, prefix []byte) error {
	var keys [][]byte
	c := t.bucket(tx).Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := t.delete(tx, k); err != nil {
			return err
		}
	}
	return nil
}

// evict takes what bbolt holds now out of the overlay.
func (s *Store) evict(written []*saga) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range written {
		for _, item := range v.items {
			s.overlay.size -= sizeOf(item)
		}
		o, _ := s.overlay.sagas.Get(v.id)
		s.overlay.set(&saga{id: v.id, stored: v.head(), items: o.items[len(v.items):]})
	}
	s.generation.Add(1)
}

// update runs a transaction. If the disk is full, nothing has changed, and update returns an error for
// which isFull is true. Any other error breaks the store.
func (s *Store) update(fn func(*bolt.Tx) error) error {
	if err := s.failure(); err != nil {
		return err
	}
	s.updating.Store(time.Now().UnixNano())
	defer s.updating.Store(0)
	var tx *bolt.Tx
	err := boltfile.Guard(func() error {
		return s.db.Update(func(t *bolt.Tx) error {
			tx = t
			if s.failUpdate != nil {
				if err := s.failUpdate(); err != nil {
					return err
				}
			}
			return fn(t)
		})
	})
	if err == nil {
		stats := tx.Stats()
		s.counters.piece(stats.GetPageAlloc() + int64(s.db.Info().PageSize))
		s.setFull(nil)
		return nil
	}
	if boltfile.IsFull(err) {
		s.setFull(err)
		return err
	}
	return s.breakDown(err)
}
