//go:build linux || darwin

package boltfile

import (
	"os"
	"syscall"
)

// FreeSpace returns the number of bytes that an unprivileged process can still write.
func FreeSpace(dir string) (int64, bool) {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true //nolint:unconvert // the types differ between systems
}

// tryLock takes the lock that bbolt uses, without waiting.
func tryLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// unlock unlocks a file that bbolt locked before it panicked. Closing the file is not enough,
// because its memory mapping keeps the lock.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
