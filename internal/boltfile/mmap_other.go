//go:build !linux

package boltfile

// DefaultMapSize is the address space, in bytes, that files get by default: what bbolt chooses.
const DefaultMapSize = 0

func mapFlags(int64) int { return 0 }
