package boltfile

import "syscall"

// DefaultMapSize is the address space, in bytes, that files get by default: 16 GiB, or 0 on 32-bit systems.
const DefaultMapSize = 1 << (34 * (^uint(0) >> 63))

// populateLimit is the size, in bytes, up to which a file is read into memory as a whole when it is
// opened. A larger file is read on demand, so that the start does not wait for it.
const populateLimit = 256 << 20

// mapFlags returns the mmap flags for a file of the given size. A small file is read ahead, because
// otherwise a cold start would cause a page fault for every page.
func mapFlags(size int64) int {
	if size > populateLimit {
		return 0
	}
	return syscall.MAP_POPULATE
}
