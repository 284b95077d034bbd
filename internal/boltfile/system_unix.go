//go:build linux || darwin

package boltfile

import (
	"os"
	"syscall"
)

// tryLock takes the lock that bbolt uses, without waiting.
func tryLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// unlock unlocks a file that bbolt locked before it panicked. Closing the file is not enough,
// because its memory mapping keeps the lock.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
