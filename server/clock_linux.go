package server

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime returns the time since boot, including sleep. Setting the time of day does not change
// it.
func bootTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Since(started) // kernels before 2.6.39 lack this clock
	}
	return time.Duration(t.Nano())
}

var started = time.Now()
