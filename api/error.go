package api

import "time"

// Code is the kind of an error. A response without code is a success.
type Code string

// The codes, a subset of those of Connect and gRPC.
const (
	CodeInvalidArgument    Code = "invalid_argument"    // the request is invalid; the reason says how to fix it
	CodeNotFound           Code = "not_found"           // the saga or definition does not exist
	CodeAlreadyExists      Code = "already_exists"      // the id or version exists with different content
	CodeFailedPrecondition Code = "failed_precondition" // not possible in the current state; the reason says what is possible
	CodeResourceExhausted  Code = "resource_exhausted"  // a limit was reached; retry later
	CodeUnavailable        Code = "unavailable"         // the coordinator is starting, stopping or cannot commit; retry
	CodeInternal           Code = "internal"
)

// Error describes why a request was refused.
type Error struct {
	Code   Code
	Reason string // message for people; says what would be valid
	Refusal
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

// Wait returns how long to wait before the request is sent again; 0 means no suggestion.
func (e *Error) Wait() time.Duration { return e.RetryAfter.Or(0) }
