package coordinator

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// badRequest is an error in what the caller sent.
type badRequest struct {
	why        string
	violations []transport.Violation
	cause      error // may be nil
}

func (e *badRequest) Error() string { return e.why }

func (e *badRequest) Unwrap() error { return e.cause }

// violations collects fields that are wrong.
type violations []transport.Violation

func (v *violations) add(field, problem string) {
	*v = append(*v, transport.Violation{Field: field, Problem: problem})
}

// err is nil when nothing is wrong.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	lines := make([]string, len(v))
	for i, one := range v {
		lines[i] = one.Field + ": " + one.Problem
	}
	return &badRequest{why: strings.Join(lines, "; "), violations: v}
}

// violation is one field that is wrong.
func violation(field, problem string) error {
	return violations{{Field: field, Problem: problem}}.err()
}

// movedError refuses a decision about a saga that is not any more where its
// operator saw it.
type movedError struct {
	id               contract.SagaID
	expected, actual uint64
}

func (e *movedError) Error() string {
	return fmt.Sprintf("saga %s is at revision %d, not at %d: look at it again before you decide", e.id, e.actual, e.expected)
}

// busyError refuses for now: see exhausted.
type busyError struct {
	retry time.Duration
	why   string
}

func (e *busyError) Error() string { return e.why }

// unavailableError is the failure of something that may work again later.
type unavailableError struct{ error }

func (e unavailableError) Unwrap() error { return e.error }

// errNoLoad: the bus does not tell what lies on it now.
var errNoLoad = errors.New("the bus did not report its load; check that it is reachable, then try again")

func unavailable(err error) error { return unavailableError{err} }

func refusal(code transport.Code, reason string) *transport.Envelope {
	return &transport.Envelope{Type: transport.TypeReply, Code: string(code), Reason: transport.Cut(reason, transport.MaxRefusal)}
}

// exhausted refuses for now: a limit is reached, and retry is when to ask again.
func exhausted(retry time.Duration, reason string) *transport.Envelope {
	e := refusal(transport.CodeResourceExhausted, reason)
	e.RetryAfter = retry
	return e
}

// refusalOf maps an error to its code.
func refusalOf(err error) *transport.Envelope {
	code := transport.CodeInternal
	var operation *machine.OperationError
	var name *contract.NameError
	var bad *badRequest
	var down unavailableError
	var moved *movedError
	var many *tooManyError
	switch {
	case errors.As(err, &down):
		code = transport.CodeUnavailable
	case errors.As(err, &operation), errors.As(err, &moved), errors.As(err, &many), errors.Is(err, store.ErrEnded), errors.Is(err, store.ErrNotDamaged), errors.Is(err, errNoOffice):
		code = transport.CodeFailedPrecondition
	case errors.As(err, &name), errors.As(err, &bad), errors.Is(err, machine.ErrInput), errors.Is(err, store.ErrCursor):
		code = transport.CodeInvalidArgument
	case errors.Is(err, ErrIDTaken), errors.Is(err, store.ErrDefinitionConflict):
		code = transport.CodeAlreadyExists
	case errors.Is(err, store.ErrNotFound), errors.Is(err, ErrUnknownDefinition):
		code = transport.CodeNotFound
	case errors.Is(err, ErrTooManyDefinitions):
		code = transport.CodeResourceExhausted
	case errors.Is(err, errStopping), errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrBroken), errors.Is(err, store.ErrConflict):
		code = transport.CodeUnavailable
	}
	if busy, ok := errors.AsType[*busyError](err); ok {
		return exhausted(busy.retry, busy.why)
	}
	e := refusal(code, reason(err))
	e.Data = detail(err)
	return e
}

// reason is an error's text without what its detail has.
func reason(err error) string {
	if operation, ok := errors.AsType[*machine.OperationError](err); ok {
		return operation.Brief()
	}
	return err.Error()
}

// detail is what a program needs to know of an error beside its code.
func detail(err error) []byte {
	var d transport.Refusal
	if operation, ok := errors.AsType[*machine.OperationError](err); ok {
		d.Legal = operation.Legal
	}
	if moved, ok := errors.AsType[*movedError](err); ok {
		d.Revision = moved.actual
	}
	if bad, ok := errors.AsType[*badRequest](err); ok {
		d.Violations = bad.violations
	}
	if wrong, ok := errors.AsType[*saga.DefinitionError](err); ok {
		for _, p := range wrong.Problems {
			d.Violations = append(d.Violations, transport.Violation{Field: p.Path, Problem: p.What + "; " + p.Fix})
		}
	}
	if len(d.Legal) == 0 && len(d.Violations) == 0 && d.Revision == 0 {
		return nil
	}
	data, err := contract.EncodeJSON(d)
	if err != nil {
		return nil // there is nothing in it that cannot be written
	}
	return data
}
