package boltstore

import (
	"context"
	"encoding/binary"
	"errors"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/store"
)

// window is a snapshot of the store: one of bbolt, and one of the overlay that belongs to it.
type window struct {
	s       *Store
	tx      *bolt.Tx
	overlay overlay
}

// view calls fn with a window. Damage to the structure of the file is returned as a *store.CorruptError.
func (s *Store) view(ctx context.Context, fn func(w *window) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return s.window(fn)
}

// window does the work of view. A saga leaves the overlay once bbolt holds it, and with a new generation.
// If the generation is still the same after the snapshot of bbolt was taken, that snapshot holds whatever
// the overlay lacks. Should it be newer than the overlay, the overlay hides it.
func (s *Store) window(fn func(w *window) error) error {
	for {
		w := &window{s: s}
		generation := s.generation.Load()
		moved := false
		err := s.read(func(tx *bolt.Tx) error {
			s.mu.Lock()
			if moved = s.generation.Load() != generation; !moved {
				w.tx, w.overlay = tx, s.overlay.snapshot()
			}
			s.mu.Unlock()
			if moved {
				return nil
			}
			return fn(w)
		})
		if !moved {
			return err
		}
	}
}

// read calls fn with a snapshot of bbolt.
func (s *Store) read(fn func(tx *bolt.Tx) error) error {
	err := boltfile.Guard(func() error { return s.db.View(fn) })
	s.counters.damage(err)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

// find returns a saga. Its head is nil if there is no such saga.
func (w *window) find(id contract.SagaID) (*saga, error) {
	if s, known := w.overlay.sagas.Get(id); known {
		return s, s.damage
	}
	stored, err := readHead(w.tx, id)
	return &saga{id: id, stored: stored}, err
}

// readHead returns the head of a saga as bbolt holds it, or nil if it holds none.
func readHead(tx *bolt.Tx, id contract.SagaID) (*head, error) {
	body, err := tableIDs.get(tx, []byte(id))
	switch {
	case err == nil && body == nil:
		return nil, withSaga(id, tableIDs.absent(tx, []byte(id)))
	case err == nil && len(body) != 8:
		err = tableIDs.corrupt([]byte(id), "it holds no time")
	}
	if err != nil {
		return nil, withSaga(id, err)
	}
	return readHeadAt(tx, unsortable(binary.BigEndian.Uint64(body)), id)
}

// readHeadAt returns the head of a saga as bbolt holds it, by the time of its start.
func readHeadAt(tx *bolt.Tx, started int64, id contract.SagaID) (*head, error) {
	key := partKey(started, id, partHead, nil)
	body, err := tableSagas.get(tx, key)
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
