package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Sentinel errors, for errors.Is.
var (
	ErrNotFound    = errors.New("not found")                         // no such saga or definition
	ErrConflict    = errors.New("conflict")                          // the id or version exists with other content
	ErrIllegal     = errors.New("not legal now")                     // not legal in the saga's current state; the reason lists what is
	ErrInvalid     = errors.New("invalid")                           // the request is wrong; repeating it does not help
	ErrOverloaded  = errors.New("overloaded")                        // a limit is reached; retry later
	ErrUnavailable = errors.New("no coordinator answered")           // no reply; the request may have been executed
	ErrInternal    = errors.New("internal error of the coordinator") // its log has the details
)

// Error is a request that failed or was not answered.
type Error struct {
	Op     string          // the operation: "start", "get" …
	ID     contract.SagaID // the saga, if the request is about one
	Code   transport.Code  // the coordinator's code; CodeUnavailable if there was no reply
	Reason string          // what is wrong and how to fix it
	Err    error           // the underlying error, such as context.DeadlineExceeded; may be nil

	// Legal lists, with ErrIllegal, the operations that are legal on the saga now.
	Legal []contract.LegalOperation

	// RetryAfter is, with ErrOverloaded, the wait that the coordinator suggests; 0: none. Add
	// jitter, so that refused callers do not all retry at the same time.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.ID != "" {
		fmt.Fprintf(&b, " saga %s", e.ID)
	}
	condition := e.sentinel().Error()
	if e.Code == transport.CodeUnavailable && errors.Is(e.Err, context.Canceled) {
		condition = "cancelled before a reply arrived" // by the caller
	}
	b.WriteString(": " + condition)
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	for i, l := range e.Legal {
		if i == 0 {
			b.WriteString("; legal now: ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(l.String())
	}
	if e.Err != nil {
		fmt.Fprintf(&b, " (%v)", e.Err)
	}
	return b.String()
}

// Unwrap returns the sentinel and the underlying error.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.sentinel()}
	}
	return []error{e.sentinel(), e.Err}
}

func (e *Error) sentinel() error {
	switch e.Code {
	case transport.CodeInvalidArgument:
		return ErrInvalid
	case transport.CodeNotFound:
		return ErrNotFound
	case transport.CodeAlreadyExists:
		return ErrConflict
	case transport.CodeFailedPrecondition:
		return ErrIllegal
	case transport.CodeResourceExhausted:
		return ErrOverloaded
	case transport.CodeUnavailable:
		return ErrUnavailable
	default:
		return ErrInternal
	}
}
