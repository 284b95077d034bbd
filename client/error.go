package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
)

// Sentinel errors for use with errors.Is.
var (
	ErrNotFound    = errors.New("not found")                         // the saga or definition does not exist
	ErrConflict    = errors.New("conflict")                          // the id or version exists with different content
	ErrIllegal     = errors.New("not legal now")                     // the operation is not legal now; the reason lists the legal operations
	ErrRevision    = errors.New("the saga has changed")              // the saga does not have the ExpectedRevision; also matches ErrIllegal
	ErrInvalid     = errors.New("invalid")                           // the request is invalid; repeating it is useless
	ErrOverloaded  = errors.New("overloaded")                        // a limit is reached; retry later
	ErrUnavailable = errors.New("no coordinator answered")           // no reply, or the coordinator is starting or stopping; the request may have been executed
	ErrInternal    = errors.New("internal error of the coordinator") // details are in the coordinator's log
)

// Error describes a request that failed or was not answered.
type Error struct {
	Op     string          // the method, such as "start" or "get"
	ID     contract.SagaID // the saga of the request, if it has one
	Code   api.Code        // the coordinator's code; CodeUnavailable if there was no reply
	Reason string          // the problem and how to fix it
	Err    error           // the underlying error, such as context.DeadlineExceeded; may be nil

	// Legal lists the operations that are currently legal. It is set with ErrIllegal if the
	// requested operation is not legal.
	Legal []contract.LegalOperation
	// Violations lists the invalid fields of the request, if they are known. It is set with
	// ErrInvalid.
	Violations []api.Violation
	// Revision is the saga's current revision. It is set with ErrRevision.
	Revision uint64

	// RetryAfter is the wait that the coordinator suggests, or 0. It is set with ErrOverloaded. Add
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
	switch {
	case e.Code != api.CodeUnavailable:
	case e.Err == nil:
		condition = "unavailable" // a coordinator has replied
	case errors.Is(e.Err, context.Canceled):
		condition = "cancelled before a reply arrived" // the caller has cancelled
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

// Unwrap returns the sentinel, ErrRevision if the saga does not have the ExpectedRevision, and the
// underlying error, if there is one.
func (e *Error) Unwrap() []error {
	errs := []error{e.sentinel()}
	if e.Code == api.CodeFailedPrecondition && e.Revision != 0 {
		errs = append(errs, ErrRevision)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

func (e *Error) sentinel() error {
	switch e.Code {
	case api.CodeInvalidArgument:
		return ErrInvalid
	case api.CodeNotFound:
		return ErrNotFound
	case api.CodeAlreadyExists:
		return ErrConflict
	case api.CodeFailedPrecondition:
		return ErrIllegal
	case api.CodeResourceExhausted:
		return ErrOverloaded
	case api.CodeUnavailable:
		return ErrUnavailable
	default:
		return ErrInternal
	}
}
