package boltfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	bolterrors "go.etcd.io/bbolt/errors"
)

// TestFull checks which errors of bbolt mean that nothing was written for want of room.
func TestFull(t *testing.T) {
	for _, full := range []error{
		&os.PathError{Op: "write", Path: "sagas.db", Err: syscall.ENOSPC},
		fmt.Errorf("commit: %w", &os.PathError{Op: "write", Path: "sagas.db", Err: syscall.EDQUOT}),
		errors.New("file resize error: truncate sagas.db: no space left on device"),
		bolterrors.ErrMaxSizeReached,
	} {
		if !IsFull(full) {
			t.Errorf("%v does not mean that there is no room", full)
		}
	}
	for _, failed := range []error{nil, syscall.ENOSPC, &os.PathError{Op: "sync", Path: "sagas.db", Err: syscall.ENOSPC}, syscall.EIO} {
		if IsFull(failed) {
			t.Errorf("%v means that nothing was written", failed)
		}
	}
}
