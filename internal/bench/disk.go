package bench

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// fsyncs is the number of writes that fsyncTime measures.
const fsyncs = 64

// fsyncTime returns the median time to write and fsync a page on the disk of dir.
func fsyncTime(dir string) (median time.Duration, err error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	took := make([]time.Duration, fsyncs)
	for i := range took {
		began := time.Now()
		if _, err := f.WriteAt(page, int64(i)*int64(len(page))); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
