//go:build !linux

package server

import "time"

// bootTime is how long the process has been up. Setting the time of day does not change it.
// While the machine sleeps it may stand still: then a claim that was taken over meanwhile is
// noticed with the first confirmation, and not before it.
func bootTime() time.Duration { return time.Since(started) }

var started = time.Now()
