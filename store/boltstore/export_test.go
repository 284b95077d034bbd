package boltstore

import (
	"context"
	"math/rand/v2"

	bolt "go.etcd.io/bbolt"
)

// abort closes the store without a checkpoint, as a kill would, but waits for what is under way.
func (s *Store) abort() {
	_ = s.shut(func() error { return nil })
}

// pieces writes nothing, a whole checkpoint, or some pieces of one that is then interrupted. It is
// called from the committer.
func (s *Store) pieces(random *rand.Rand) error {
	switch random.IntN(4) {
	case 0:
		return s.Checkpoint(context.Background())
	case 1:
		return s.onCheckpointer(context.Background(), func() error { return s.somePieces(random) }, func() {})
	}
	return nil
}

func (s *Store) somePieces(random *rand.Rand) error {
	s.mu.RLock()
	sagas := s.dirty()
	s.mu.RUnlock()
	for _, one := range sagas {
		if random.IntN(2) == 0 {
			continue
		}
		written, _, err := s.piece([]*saga{one}, func(*bolt.Tx) error { return nil })
		if err != nil {
			return err
		}
		s.evict(written)
	}
	return nil
}
