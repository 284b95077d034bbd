//go:build !linux

package server

import "time"

// bootTime returns how long the process has been up. Setting the time of day does not change it.
// This clock may stop while the machine sleeps; a takeover of the claim during that time is noticed
// only when the claim is next confirmed.
func bootTime() time.Duration { return time.Since(started) }

var started = time.Now()
