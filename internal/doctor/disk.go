package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// leastFree is how much room a disk should have: for the file's growth, and for a
// backup beside it.
const leastFree = 1 << 30

// disk examines where the store is.
func (e *exam) disk() {
	const check = "disk of the store"
	if e.Store == "" {
		e.add(check, Unknown, "the data directory is not on this machine, or was not named", "run this on the coordinator's machine with --data-dir")
		return
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(e.Store), &fs); err != nil {
		e.add(check, Unknown, fmt.Sprintf("%s: %v", filepath.Dir(e.Store), err), "name the directory that the coordinator was started with")
		return
	}
	free := fs.Bavail * uint64(fs.Bsize)
	size := uint64(0)
	if info, err := os.Stat(e.Store); err == nil {
		size = uint64(info.Size())
	}
	found := fmt.Sprintf("%d MiB free, the store has %d MiB", free>>20, size>>20)
	switch {
	case free < size/4 || free < leastFree/8:
		e.add(check, Problem, found, "make room now: a commit that finds none ends the coordinator")
	case free < size || free < leastFree:
		e.add(check, Warning, found, "make room for the file to double, which is how it grows")
	default:
		e.add(check, OK, found, "")
	}
}
