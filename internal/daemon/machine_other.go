//go:build !linux

package daemon

// bootID and directoryID are not known here: a store whose process was killed waits until
// that was silent for long.
func bootID() string { return "" }

func directoryID(string) string { return "" }
