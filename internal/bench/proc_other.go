//go:build !linux

package bench

import "time"

// What only Linux tells.

func memoryOf(int) memory       { return memory{} }
func cpuOf(int) time.Duration   { return 0 }
func forgetCached(string) error { return nil }
