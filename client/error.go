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

// Conditions that callers tell apart with errors.Is.
var (
	ErrNotFound    = errors.New("not found")                       // no such saga or definition
	ErrConflict    = errors.New("conflict")                        // the id is taken by a saga with another input or definition; the version by another content
	ErrIllegal     = errors.New("not legal now")                   // the operation is not legal where the saga stands; the reason says what is
	ErrInvalid     = errors.New("invalid")                         // the request is wrong, and stays wrong
	ErrOverloaded  = errors.New("overloaded")                      // a limit is reached; try again later
	ErrUnavailable = errors.New("no coordinator answered")         // nobody answered in time; the request may or may not have been carried out
	ErrInternal    = errors.New("the coordinator failed to do it") // a fault of the coordinator; its log says more
)

// Error is a request that was refused or not answered.
type Error struct {
	Op     string          // what was tried: "start", "get" …
	ID     contract.SagaID // the saga, where it is about one
	Code   transport.Code  // as the coordinator gave it; CodeUnavailable when nobody answered
	Reason string          // for people; says what would be right
	Err    error           // what lies below, such as context.DeadlineExceeded; may be nil

	// Legal are, with ErrIllegal, the operations that are legal on the saga now.
	Legal []contract.LegalOperation

	// RetryAfter is, with ErrOverloaded, after how long the coordinator suggests to
	// ask again; 0: it did not say. Add some randomness, or all who were refused
	// come back together.
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
		condition = "stopped before an answer came" // the caller's own doing
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

// Unwrap makes errors.Is see both the condition and what lies below.
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
