package memstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/outbox/outboxpb"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/sagapb"
	"github.com/amends-dev/amends/store"
)

var _ store.Store = (*Store)(nil)

// Store is a store in memory. New makes one.
type Store struct {
	// Hooks inject failures. Set them before the store is used.
	Hooks Hooks

	mu     sync.Mutex
	broken error
	data   data
}

// Hooks are called by Commit. Nil ones do nothing.
type Hooks struct {
	// Before is called with the changes before anything happens. It may return
	// results to give instead (one per change; nil entries are committed as
	// usual). An error breaks the store: nothing of the call is committed.
	Before func(changes []store.Change) (results []error, err error)
	// After is called when the changes are committed. An error breaks the store:
	// the caller does not learn that they are, as when a process dies between
	// its commit and its answer.
	After func(changes []store.Change) error
}

// data is what survives Reopen.
type data struct {
	sagas       map[saga.ID]*record
	owed        map[outbox.ID][]byte
	tombstones  map[saga.ID]store.TombstoneError
	definitions map[saga.Ref]*saga.Definition
}

// record is one saga. Its times and class are those of state, which is what
// reading the written state gives.
type record struct {
	state   *saga.Instance
	events  [][]byte
	summary store.Summary
	class   store.Class
	wake    time.Time
}

// New makes an empty store.
func New() *Store {
	return &Store{data: data{
		sagas:       map[saga.ID]*record{},
		owed:        map[outbox.ID][]byte{},
		tombstones:  map[saga.ID]store.TombstoneError{},
		definitions: map[saga.Ref]*saga.Definition{},
	}}
}

// Reopen returns a store with everything that s had committed, as after a
// restart: not broken, not closed, with the same hooks. s is closed.
func (s *Store) Reopen() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = store.ErrClosed
	return &Store{Hooks: s.Hooks, data: s.data}
}

// lock takes the mutex, or says why the store cannot be used; the caller
// unlocks when err is nil.
func (s *Store) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.broken != nil {
		defer s.mu.Unlock()
		return s.broken
	}
	return nil
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, changes []store.Change) ([]error, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var injected []error
	if s.Hooks.Before != nil {
		var err error
		if injected, err = s.Hooks.Before(changes); err != nil {
			return nil, s.breakDown(err)
		}
	}
	results := make([]error, len(changes))
	for i := range changes {
		if i < len(injected) && injected[i] != nil {
			results[i] = injected[i]
			continue
		}
		results[i] = s.data.apply(&changes[i])
	}
	if s.Hooks.After != nil {
		if err := s.Hooks.After(changes); err != nil {
			return nil, s.breakDown(err)
		}
	}
	return results, nil
}

func (s *Store) breakDown(cause error) error {
	s.broken = fmt.Errorf("%w: %w", store.ErrBroken, cause)
	return s.broken
}

// apply commits one change, or leaves everything as it was.
func (d *data) apply(c *store.Change) error {
	if err := c.Check(); err != nil {
		return err
	}
	in := c.Instance
	next, err := written(in)
	if err != nil {
		return err
	}
	owed := make([][]byte, len(c.Owe))
	for i := range c.Owe {
		if owed[i], err = outboxpb.MarshalRecord(&c.Owe[i]); err != nil {
			return fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
	}
	for i := range c.Events {
		event, err := sagapb.MarshalEvent(&c.Events[i])
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
		next.events = append(next.events, event)
	}
	if t, ok := d.tombstones[in.ID]; ok {
		return &t
	}
	now := d.sagas[in.ID]
	if now == nil {
		now = &record{}
	}
	if now.summary.Revision != c.Expected {
		return &store.ConflictError{Saga: in.ID, Expected: c.Expected, Actual: now.summary.Revision}
	}
	next.events = append(slices.Clip(now.events), next.events...)
	d.sagas[in.ID] = next
	for i := range c.Owe {
		d.owed[c.Owe[i].ID] = owed[i]
	}
	for _, id := range c.Settle {
		delete(d.owed, id)
	}
	return nil
}

// written is the record of a state, without events: what a store on disk would
// read back.
func written(in *saga.Instance) (*record, error) {
	data, err := sagapb.MarshalInstance(in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	state, err := sagapb.UnmarshalInstance(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	class, err := store.ClassOf(state)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	return &record{state: state, summary: store.Summarize(state), class: class, wake: state.Wake()}, nil
}

// copied is a state that shares no memory with in that anybody could change.
func copied(in *saga.Instance) *saga.Instance {
	out := *in
	out.Input = bytes.Clone(in.Input)
	out.Cause, out.Cancel = copiedCause(in.Cause), copiedCause(in.Cancel)
	out.Steps = slices.Clone(in.Steps)
	for i := range out.Steps {
		out.Steps[i].Result = bytes.Clone(out.Steps[i].Result)
	}
	return &out
}

func copiedCause(c *saga.Cause) *saga.Cause {
	if c == nil {
		return nil
	}
	out := *c
	return &out
}

// find returns the saga's record, or the error of Load.
func (d *data) find(id saga.ID) (*record, error) {
	if t, ok := d.tombstones[id]; ok {
		return nil, &t
	}
	if r, ok := d.sagas[id]; ok {
		return r, nil
	}
	return nil, fmt.Errorf("saga %.128s: %w", id, store.ErrNotFound)
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, id saga.ID) (*saga.Instance, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	r, err := s.data.find(id)
	if err != nil {
		return nil, err
	}
	return copied(r.state), nil
}

// History implements store.Store.
func (s *Store) History(ctx context.Context, id saga.ID, from uint64, limit int) ([]saga.Event, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	r, err := s.data.find(id)
	if err != nil {
		return nil, err
	}
	var events []saga.Event
	for k := max(from, 1); k <= uint64(len(r.events)) && len(events) < store.Bounded(limit); k++ {
		e, err := sagapb.UnmarshalEvent(r.events[k-1])
		if err != nil {
			return nil, err
		}
		events = append(events, *e)
	}
	return events, nil
}

// Owed implements store.Store.
func (s *Store) Owed(ctx context.Context, after outbox.ID, yield func(outbox.Record) bool) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	var ids []outbox.ID
	for id := range s.data.owed {
		if compareID(after, id) < 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, compareID)
	records := make([]outbox.Record, 0, len(ids))
	for _, id := range ids {
		r, err := outboxpb.UnmarshalRecord(s.data.owed[id])
		if err != nil {
			s.mu.Unlock()
			return err
		}
		records = append(records, r)
	}
	s.mu.Unlock()
	for _, r := range records {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !yield(r) {
			return nil
		}
	}
	return nil
}

// Settle implements store.Store.
func (s *Store) Settle(ctx context.Context, ids []outbox.ID) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.data.owed, id)
	}
	return nil
}

// Expire implements store.Store.
func (s *Store) Expire(ctx context.Context, endedBefore, dropTombstones time.Time, limit int) (removed, dropped int, err error) {
	if err := s.lock(ctx); err != nil {
		return 0, 0, err
	}
	defer s.mu.Unlock()
	for _, id := range s.data.endedTombstones(dropTombstones, limit) {
		delete(s.data.tombstones, id)
		dropped++
	}
	for _, id := range s.data.endedSagas(endedBefore, limit) {
		in := s.data.sagas[id].state
		s.data.tombstones[id] = store.TombstoneError{
			Saga: id, Definition: in.Definition, Phase: in.Phase, InputHash: sha256.Sum256(in.Input), Ended: in.Ended,
		}
		delete(s.data.sagas, id)
		for owed := range s.data.owed {
			if owed.Saga == id {
				delete(s.data.owed, owed)
			}
		}
		removed++
	}
	return removed, dropped, nil
}

// Backup implements store.Store: it returns errors.ErrUnsupported.
func (s *Store) Backup(context.Context, io.Writer) (int64, error) {
	return 0, fmt.Errorf("back up a store in memory: %w", errors.ErrUnsupported)
}

// Check implements store.Store.
func (s *Store) Check(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	s.mu.Unlock()
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = store.ErrClosed
	return nil
}
