//go:build linux || darwin

package log

import "syscall"

// FreeSpace returns the number of bytes that an unprivileged process can still write to the disk of a
// directory. It returns false if that is unknown.
func FreeSpace(dir string) (int64, bool) {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true //nolint:unconvert // the types differ between systems
}
