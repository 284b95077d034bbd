package boltstore

import "syscall"

// defaultMapSize is 16 GiB, or 0 where addresses have 32 bits.
const defaultMapSize = 1 << (34 * (^uint(0) >> 63))

// populateLimit is the largest file that is read into memory as a whole when it is opened. A
// larger one is read as it is used, so that the start does not wait for all of it.
const populateLimit = 256 << 20

// mapFlags returns the flags for a file of a given size: a small one is read ahead at once,
// because a cold start would otherwise fault page by page.
func mapFlags(size int64) int {
	if size > populateLimit {
		return 0
	}
	return syscall.MAP_POPULATE
}
