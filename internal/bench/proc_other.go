//go:build !linux

package bench

import "time"

// These functions have an implementation only on Linux.

func memoryOf(int) memory       { return memory{} }
func cpuOf(int) time.Duration   { return 0 }
func forgetCached(string) error { return nil }
