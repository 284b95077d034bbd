package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// leastFree is the disk space, in bytes, that should be free for growth of state and log, and for a
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
	state, log := sizeOf(e.Store), uint64(0)
	segments, _ := filepath.Glob(filepath.Join(e.Store+".log", "*"))
	for _, segment := range segments {
		log += sizeOf(segment)
	}
	size := state + log
	found := fmt.Sprintf("%d MiB free; the state has %d MiB, the log %d MiB", free>>20, state>>20, log>>20)
	switch {
	case free < size/4 || free < leastFree/8:
		e.add(check, Problem, found, "free space on the disk now: without room, starts are refused and then commits wait")
	case free < size || free < leastFree:
		e.add(check, Warning, found, "free space on the disk: the store grows, and a backup needs as much space as the state")
	default:
		e.add(check, OK, found, "")
	}
}

// sizeOf returns the size of a file, in bytes, or 0 if it cannot be read.
func sizeOf(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return uint64(info.Size())
}
