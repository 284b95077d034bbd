package boltstore

import (
	"context"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Space describes the use of the state's file, in bytes. The log has a size of its own (Stats.Log).
//
// A file never shrinks. Deleted data leaves free pages, which later checkpoints reuse. So Used follows
// the current amount of data, Reached is the highest amount so far, and File exceeds Reached by at most
// FileGrowth.
type Space struct {
	File    int64 // size of the file
	Reached int64 // end of the last page that was ever used
	Used    int64 // size of the pages that hold data
}

// FileGrowth is the extra space, in bytes, by which the file grows when a piece of a checkpoint does not
// fit into it. bbolt calls it AllocSize.
const FileGrowth = 16 << 20

// Space measures the file without reading rows. The result is exact unless a checkpoint is under way.
func (s *Store) Space(ctx context.Context) (space Space, err error) {
	if err := s.usable(ctx); err != nil {
		return Space{}, err
	}
	err = s.read(func(tx *bolt.Tx) error {
		stats := s.db.Stats()
		space.Reached = tx.Size()
		space.Used = space.Reached - int64(stats.FreePageN+stats.PendingPageN)*int64(s.db.Info().PageSize)
		return nil
	})
	if err != nil {
		return Space{}, err
	}
	file, err := os.Stat(s.info.Path)
	if err != nil {
		return Space{}, fmt.Errorf("measure the state's file: %w", err)
	}
	space.File = file.Size()
	return space, nil
}
