package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// leastFree is the disk space, in bytes, that should be free for growth of the file and for a
// backup.
const leastFree = 1 << 30

// disk examines the disk of the store.
func (e *exam) disk() {
	const check = "disk of the store"
	if e.Store == "" {
		e.add(check, Unknown, "no data directory given", "run this command on the coordinator's machine with --data-dir")
		return
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(e.Store), &fs); err != nil {
		e.add(check, Unknown, fmt.Sprintf("%s: %v", filepath.Dir(e.Store), err), "give the data directory of the coordinator")
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
		e.add(check, Problem, found, "make room on the disk now: the coordinator stops if a commit has no space")
	case free < size || free < leastFree:
		e.add(check, Warning, found, "make room on the disk: the store's file doubles when it grows")
	default:
		e.add(check, OK, found, "")
	}
}
