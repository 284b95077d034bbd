package transport

import "context"

// Checker is implemented by buses that can diagnose themselves.
type Checker interface {
	// Check returns the current problems, or nil. It changes nothing. An error of a single stream
	// is a *StreamError. Several errors are joined.
	Check(ctx context.Context) error
}

// StreamError is an error of one stream of a bus.
type StreamError struct {
	Stream Stream
	Err    error
}

func (e *StreamError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *StreamError) Unwrap() error { return e.Err }
