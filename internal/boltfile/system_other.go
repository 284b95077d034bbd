//go:build !linux && !darwin

package boltfile

import "os"

// unlock does nothing here: closing the file unlocks it.
func unlock(*os.File) {}

// tryLock returns true, because on this system bbolt's own lock keeps readers out.
func tryLock(*os.File) bool { return true }
