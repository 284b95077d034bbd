//go:build !linux

package bench

import "time"

// Available only on Linux.

func memoryOf(int) memory       { return memory{} }
func cpuOf(int) time.Duration   { return 0 }
func forgetCached(string) error { return nil }
