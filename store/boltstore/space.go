package boltstore

import (
	"context"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Space is the use of the file, in bytes.
//
// A file never shrinks. Removed data leaves free pages, which the next commits fill. So Used
// follows the amount of stored data, Reached the most that was ever stored at once, and File is at
// most FileGrowth above Reached.
type Space struct {
	File    int64 // size of the file
	Reached int64 // up to the last page that was ever in use
	Used    int64 // in pages that hold data
}

// FileGrowth is how many bytes the file grows beyond a commit that does not fit; bbolt calls it
// AllocSize.
const FileGrowth = 16 << 20

// Space measures the file. It reads no record, and is exact unless a commit runs meanwhile.
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
