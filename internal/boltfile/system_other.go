//go:build !linux && !darwin

package boltfile

import "os"

// FreeSpace returns false, because the free space is unknown on this system.
func FreeSpace(string) (int64, bool) { return 0, false }

// unlock does nothing here: closing the file unlocks it.
func unlock(*os.File) {}

// tryLock returns true, because on this system bbolt's own lock keeps readers out.
func tryLock(*os.File) bool { return true }
