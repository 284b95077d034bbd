package boltstore

import (
	"context"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Space is how the file is filled, in bytes.
//
// A file never becomes smaller. What is removed leaves free pages, which the next
// commits fill, so that Used follows what is stored, Reached the most that was
// ever stored at once, and File is at most FileGrowth above Reached.
type Space struct {
	File    int64 // of the file
	Reached int64 // up to where pages have ever been in use
	Used    int64 // of the pages that hold something
}

// FileGrowth is how far the file is made to reach beyond a commit that does not
// fit, in bytes: what bbolt calls AllocSize.
const FileGrowth = 16 << 20

// Space measures the file. It reads no record, and is exact while nothing is
// committed.
func (s *Store) Space(ctx context.Context) (Space, error) {
	var space Space
	err := s.view(ctx, func(tx *bolt.Tx) error {
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
		return Space{}, fmt.Errorf("measure the store's file: %w", err)
	}
	space.File = file.Size()
	return space, nil
}
