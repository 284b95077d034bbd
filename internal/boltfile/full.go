package boltfile

import (
	"errors"
	"os"
	"strings"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"
)

// IsFull reports whether an error of bbolt means that the disk, or the file, has no room: for a write, or
// for growing the file. A sync that fails for want of room is a failed sync, after which it is unknown what
// is on the disk.
func IsFull(err error) bool {
	if errors.Is(err, bolterrors.ErrMaxSizeReached) {
		return true
	}
	op, _ := errors.AsType[*os.PathError](err)
	grow := err != nil && strings.Contains(err.Error(), "file resize error") // bbolt does not wrap it
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if op != nil && op.Op == "write" && errors.Is(err, full) || grow && strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}
