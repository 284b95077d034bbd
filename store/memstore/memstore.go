package memstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/outboxpb"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

var _ store.Store = (*Store)(nil)

// Store is a store in memory. New returns one.
type Store struct {
	// Hooks inject failures. Set them before you use the store.
	Hooks Hooks

	mu     sync.Mutex
	broken error
	data   data
}

// Hooks are called by Commit. They may be nil.
type Hooks struct {
	// Before is called first, with the changes. It may return one result per change; a change with
	// a nil result is committed as usual. If it returns an error, nothing is committed and the
	// store is broken.
	Before func(changes []store.Change) (results []error, err error)
	// After is called after the commit. If it returns an error, the store is broken and the caller
	// does not learn that the changes were committed, as after a crash before the reply.
	After func(changes []store.Change) error
}

// data is the content that survives Reopen.
type data struct {
	owned       ownership.SavedClaim
	clock       store.Clock
	sagas       map[contract.SagaID]*record
	pending     map[outbox.ID]entry
	commits     uint64 // number of committed changes
	tombstones  map[contract.SagaID]store.TombstoneError
	definitions map[contract.DefinitionRef]store.Definition
	buffer      []byte // reused to encode states
}

// entry is an encoded pending record.
type entry struct {
	to      outbox.Destination
	place   outbox.Position
	written []byte
}

// record is an encoded saga with its index fields.
type record struct {
	written []byte
	state   *machine.Instance // decoded from written; nil before the first read
	start   machine.StartDigest
	events  [][]byte
	summary store.Summary
	class   store.Class
	wake    time.Time
	spoilt  error // the damage, or nil if the saga is readable
}

// read returns the decoded state. The store's methods must copy it for their callers.
func (r *record) read() (*machine.Instance, error) {
	if r.state == nil {
		state, err := sagapb.UnmarshalInstance(r.written)
		if err != nil {
			return nil, err
		}
		r.state = state
	}
	return r.state, nil
}

// New returns an empty store.
func New() *Store {
	return &Store{data: data{
		owned:       ownership.SavedClaim{Store: rand.Text()},
		sagas:       map[contract.SagaID]*record{},
		pending:     map[outbox.ID]entry{},
		tombstones:  map[contract.SagaID]store.TombstoneError{},
		definitions: map[contract.DefinitionRef]store.Definition{},
	}}
}

// Reopen closes s and returns a store with everything that s committed, as after a restart. The new
// store has the same hooks and is neither broken nor closed.
func (s *Store) Reopen() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = store.ErrClosed
	return &Store{Hooks: s.Hooks, data: s.data}
}

// lock locks the mutex, or returns an error if the store cannot be used. If err is nil, the caller
// must unlock.
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

// apply commits one change. If it returns an error, it has changed nothing.
func (d *data) apply(c *store.Change) error {
	if err := c.Check(); err != nil {
		return err
	}
	in := c.Instance
	state, err := sagapb.AppendInstance(d.buffer[:0], in)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	d.buffer = state
	class, err := store.ClassOf(in)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	pending, events, err := written(c)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	if stone, ok := d.tombstone(in.ID); ok {
		return stone
	}
	r := d.sagas[in.ID]
	revision := uint64(0)
	if r != nil && r.spoilt != nil {
		return r.spoilt
	}
	if r != nil {
		revision = r.summary.Revision
	}
	if revision != c.Expected || r != nil && contract.BirthOf(r.summary.Started) != in.Birth() {
		return &store.ConflictError{Saga: in.ID, Expected: c.Expected, Actual: revision}
	}
	start := machine.DigestStart(in.ContentType, in.Input)
	if r != nil && (r.summary.Definition != in.Definition || r.start != start) {
		return fmt.Errorf("%w of saga %s: its start is not that of the saga's first change", store.ErrInvalid, in.ID)
	}
	if r == nil {
		r = &record{start: start}
		d.sagas[in.ID] = r
	}
	r.written, r.state = append(r.written[:0], state...), nil
	r.summary, r.class, r.wake = store.Summarize(in), class, in.Wake()
	r.events = append(r.events, events...)
	d.commits++
	for i := range c.Enqueue {
		d.pending[c.Enqueue[i].ID] = entry{c.Enqueue[i].To, outbox.Position{Commit: d.commits, Index: uint16(i)}, pending[i]}
	}
	for _, id := range c.Discard {
		delete(d.pending, id)
	}
	return nil
}

// written encodes the records and the events of a change.
func written(c *store.Change) (pending, events [][]byte, err error) {
	pending = make([][]byte, len(c.Enqueue))
	for i := range c.Enqueue {
		if pending[i], err = outboxpb.MarshalRecord(&c.Enqueue[i]); err != nil {
			return nil, nil, err
		}
	}
	events = make([][]byte, len(c.Events))
	for i := range c.Events {
		if events[i], err = sagapb.MarshalEvent(&c.Events[i]); err != nil {
			return nil, nil, err
		}
	}
	return pending, events, nil
}

// tombstone returns the tombstone of a removed saga.
func (d *data) tombstone(id contract.SagaID) (*store.TombstoneError, bool) {
	t, ok := d.tombstones[id]
	if !ok {
		return nil, false
	}
	stone := t
	return &stone, true
}

// copied returns a copy of a state that shares no mutable memory with it.
func copied(in *machine.Instance) *machine.Instance {
	out := *in
	out.Input = bytes.Clone(in.Input)
	out.Cause, out.PendingCause = copiedCause(in.Cause), copiedCause(in.PendingCause)
	out.Steps = slices.Clone(in.Steps)
	for i := range out.Steps {
		out.Steps[i].Result = bytes.Clone(out.Steps[i].Result)
	}
	return &out
}

func copiedCause(c *machine.Cause) *machine.Cause {
	if c == nil {
		return nil
	}
	out := *c
	return &out
}

// find returns the saga's record, or the error that Load returns for the saga.
func (d *data) find(id contract.SagaID) (*record, error) {
	if stone, ok := d.tombstone(id); ok {
		return nil, stone
	}
	if r, ok := d.sagas[id]; ok {
		return r, r.spoilt
	}
	return nil, fmt.Errorf("saga %.128s: %w", id, store.ErrNotFound)
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, id contract.SagaID) (*machine.Instance, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	r, err := s.data.find(id)
	if err != nil {
		return nil, err
	}
	state, err := r.read()
	if err != nil {
		return nil, err
	}
	return copied(state), nil
}

// History implements store.Store.
func (s *Store) History(ctx context.Context, id contract.SagaID, from uint64, limit int) ([]machine.Event, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	r, err := s.data.find(id)
	if err != nil {
		return nil, err
	}
	first := max(from, 1)
	if first > uint64(len(r.events)) {
		return nil, nil
	}
	events := make([]machine.Event, 0, min(uint64(len(r.events))-first+1, uint64(store.Bounded(limit))))
	for k := first; k <= uint64(len(r.events)) && len(events) < store.Bounded(limit); k++ {
		e, err := sagapb.UnmarshalEvent(r.events[k-1])
		if err != nil {
			return nil, err
		}
		events = append(events, *e)
	}
	return events, nil
}

// Pending implements store.Store.
func (s *Store) Pending(ctx context.Context, to outbox.Destination, after outbox.Position, yield func(outbox.Position, outbox.Record) bool) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	var records []entry
	for id, d := range s.data.pending {
		if r := s.data.sagas[id.Saga]; r != nil && r.spoilt != nil {
			continue // it is unknown whether the record is pending
		}
		if d.to == to && after.Compare(d.place) < 0 {
			records = append(records, d)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(records, func(a, b entry) int { return a.place.Compare(b.place) })
	for _, d := range records {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := outboxpb.UnmarshalRecord(d.written)
		if err != nil {
			return err
		}
		if !yield(d.place, r) {
			return nil
		}
	}
	return nil
}

// Shared implements store.Store. It returns false, because the memory belongs to one process.
func (s *Store) Shared() bool { return false }

// LoadClaim implements store.Store.
func (s *Store) LoadClaim(ctx context.Context) (ownership.SavedClaim, error) {
	if err := s.lock(ctx); err != nil {
		return ownership.SavedClaim{}, err
	}
	defer s.mu.Unlock()
	return s.data.owned, nil
}

// SaveClaim implements store.Store.
func (s *Store) SaveClaim(ctx context.Context, o ownership.SavedClaim) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	o.Store = s.data.owned.Store
	s.data.owned = o
	return nil
}

// Clock implements store.Store.
func (s *Store) Clock(ctx context.Context) (store.Clock, error) {
	if err := s.lock(ctx); err != nil {
		return store.Clock{}, err
	}
	defer s.mu.Unlock()
	return s.data.clock, nil
}

// SetClock implements store.Store.
func (s *Store) SetClock(ctx context.Context, c store.Clock) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.data.clock = c
	return nil
}

// Destinations implements store.Store.
func (s *Store) Destinations(ctx context.Context) (map[outbox.Destination]int, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	counts := map[outbox.Destination]int{}
	for _, d := range s.data.pending {
		counts[d.to]++
	}
	return counts, nil
}

// Discard implements store.Store.
func (s *Store) Discard(ctx context.Context, ids []outbox.ID) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.data.pending, id)
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
		r := s.data.sagas[id]
		in, err := r.read()
		if err != nil {
			return removed, dropped, err
		}
		s.data.tombstones[id] = store.TombstoneError{
			Saga: id, Definition: in.Definition, Phase: in.Phase, Start: r.start, Started: in.Started, Ended: in.Ended,
		}
		delete(s.data.sagas, id)
		for pending := range s.data.pending {
			if pending.Saga == id {
				delete(s.data.pending, pending)
			}
		}
		removed++
	}
	return removed, dropped, nil
}

// Backup implements store.Store. It returns errors.ErrUnsupported.
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

// Copy returns a store with a copy of everything that s has committed, like a copy of a data
// directory. Both stores have the same identity but share no memory.
func (s *Store) Copy() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.data
	d.pending, d.tombstones, d.definitions, d.buffer = maps.Clone(d.pending), maps.Clone(d.tombstones), maps.Clone(d.definitions), nil
	d.sagas = make(map[contract.SagaID]*record, len(s.data.sagas))
	for id, r := range s.data.sagas {
		copied := *r
		copied.written, copied.events = bytes.Clone(r.written), slices.Clone(r.events)
		d.sagas[id] = &copied
	}
	return &Store{data: d}
}
