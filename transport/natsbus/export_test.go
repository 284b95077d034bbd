package natsbus

import "time"

// SetAgainAfter shortens the wait of messages that could not be moved to the dead
// letters, for a test.
func SetAgainAfter(d time.Duration) (restore func()) {
	old := againAfter
	againAfter = d
	return func() { againAfter = old }
}

// CheckVersion is for a test: there is no old server at hand.
var CheckVersion = checkVersion
