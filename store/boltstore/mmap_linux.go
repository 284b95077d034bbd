package boltstore

import "syscall"

const (
	// mapFlags reads the file ahead in one go: a cold start would otherwise fault
	// page by page.
	mapFlags = syscall.MAP_POPULATE
	// defaultMapSize is 16 GiB, and nothing where addresses have 32 bits.
	defaultMapSize = 1 << (34 * (^uint(0) >> 63))
)
