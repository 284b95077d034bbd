package boltstore

import "syscall"

// defaultMapSize is 16 GiB, and nothing where addresses have 32 bits.
const defaultMapSize = 1 << (34 * (^uint(0) >> 63))

// populateLimit is the largest file that is mapped whole when it is opened. A
// larger one comes into memory as it is used: a start does not wait for all
// of it, and what nobody looks at stays outside.
const populateLimit = 256 << 20

// mapFlags are those for a file of a size: a small one is read ahead in one go,
// because a cold start would otherwise fault page by page.
func mapFlags(size int64) int {
	if size > populateLimit {
		return 0
	}
	return syscall.MAP_POPULATE
}
