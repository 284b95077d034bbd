//go:build !linux && !darwin

package log

// FreeSpace returns false, because the free space is unknown on this system.
func FreeSpace(string) (int64, bool) { return 0, false }
