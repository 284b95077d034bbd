package coordinator

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// badRequest is the error for an invalid request.
type badRequest struct {
	why        string
	violations []api.Violation
	cause      error // may be nil
}

func (e *badRequest) Error() string { return e.why }

func (e *badRequest) Unwrap() error { return e.cause }

// violations collects the invalid fields of a request.
type violations []api.Violation

func (v *violations) add(field, problem string) {
	*v = append(*v, api.Violation{Field: field, Problem: problem})
}

// err returns the violations as an error, or nil if there are none.
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

// violation returns the error for one invalid field.
func violation(field, problem string) error {
	return violations{{Field: field, Problem: problem}}.err()
}

// movedError refuses a decision about a saga whose revision changed after the operator read it.
type movedError struct {
	id               contract.SagaID
	expected, actual uint64
}

func (e *movedError) Error() string {
	return fmt.Sprintf("saga %s is at revision %d, not at %d: read it again before you decide", e.id, e.actual, e.expected)
}

// busyError refuses a request because of a limit. retry is the time to wait before a retry.
type busyError struct {
	retry time.Duration
	why   string
}

func (e *busyError) Error() string { return e.why }

// unavailableError is a temporary failure.
type unavailableError struct{ error }

func (e unavailableError) Unwrap() error { return e.error }

// errNoLoad means that the bus cannot report its load.
var errNoLoad = errors.New("the bus did not report its load; check that it is reachable, then try again")

func unavailable(err error) error { return unavailableError{err} }

// ignoredError refuses an event that would have no effect.
type ignoredError struct{ why machine.Ignored }

func (e *ignoredError) Error() string { return string(e.why) }

// refusalOf returns a reply with an error.
func refusalOf(err error) *transport.Envelope { return envelopeOf(refused(err)) }

// envelopeOf returns a reply with a refusal.
func envelopeOf(r *api.Error) *transport.Envelope {
	e := &transport.Envelope{Type: transport.TypeReply, Code: string(r.Code), Reason: r.Reason, RetryAfter: r.Wait()}
	if data, err := contract.EncodeJSON(&r.Refusal); err == nil && string(data) != "{}" { // a Refusal can always be encoded
		e.Data = data
	}
	return e
}

// refused converts an error to a refusal.
func refused(err error) *api.Error {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e
	}
	r := &api.Error{Code: codeOf(err), Reason: contract.Cut(reason(err), transport.MaxRefusal), Refusal: detail(err)}
	if busy, ok := errors.AsType[*busyError](err); ok && busy.retry > 0 {
		r.RetryAfter = api.For(busy.retry)
	}
	return r
}

// codeOf maps an error to its code.
func codeOf(err error) api.Code {
	code := api.CodeInternal
	var operation *machine.OperationError
	var name *contract.NameError
	var bad *badRequest
	var down unavailableError
	var moved *movedError
	var many *tooManyError
	var ignored *ignoredError
	var busy *busyError
	switch {
	case errors.As(err, &down):
		code = api.CodeUnavailable
	case errors.As(err, &operation), errors.As(err, &moved), errors.As(err, &many), errors.As(err, &ignored),
		errors.Is(err, store.ErrEnded), errors.Is(err, store.ErrNotDamaged), errors.Is(err, errNoOffice):
		code = api.CodeFailedPrecondition
	case errors.As(err, &name), errors.As(err, &bad), errors.Is(err, machine.ErrInput), errors.Is(err, store.ErrCursor):
		code = api.CodeInvalidArgument
	case errors.Is(err, ErrIDTaken), errors.Is(err, store.ErrDefinitionConflict):
		code = api.CodeAlreadyExists
	case errors.Is(err, store.ErrNotFound), errors.Is(err, ErrUnknownDefinition):
		code = api.CodeNotFound
	case errors.Is(err, ErrTooManyDefinitions), errors.As(err, &busy):
		code = api.CodeResourceExhausted
	case errors.Is(err, errStopping), errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrBroken), errors.Is(err, store.ErrConflict):
		code = api.CodeUnavailable
	}
	return code
}

// reason returns the text of an error, without the part that detail returns.
func reason(err error) string {
	if operation, ok := errors.AsType[*machine.OperationError](err); ok {
		return operation.Brief()
	}
	return err.Error()
}

// nameFields maps a kind of name to the request field that contains such a name.
var nameFields = map[string]string{"saga id": "id", "definition": "definition.name"}

// stepNames matches the names of steps that people find in the paths of a definition's problems.
var stepNames = regexp.MustCompile(` \([^()]*\)`)

// detail returns the machine-readable part of an error besides its code.
func detail(err error) (d api.Refusal) {
	if operation, ok := errors.AsType[*machine.OperationError](err); ok {
		d.Legal = operation.Legal
	}
	if moved, ok := errors.AsType[*movedError](err); ok {
		d.Revision = moved.actual
	}
	if bad, ok := errors.AsType[*badRequest](err); ok {
		d.Violations = bad.violations
	}
	if name, ok := errors.AsType[*contract.NameError](err); ok && d.Violations == nil && nameFields[name.What] != "" {
		d.Violations = []api.Violation{{Field: nameFields[name.What], Problem: err.Error()}}
	}
	switch {
	case errors.Is(err, machine.ErrInput):
		d.Violations = []api.Violation{{Field: "input", Problem: err.Error()}}
	case errors.Is(err, store.ErrCursor):
		d.Violations = []api.Violation{{Field: "cursor", Problem: err.Error()}}
	}
	if wrong, ok := errors.AsType[*saga.DefinitionError](err); ok {
		for _, p := range wrong.Problems {
			d.Violations = append(d.Violations, api.Violation{Field: stepNames.ReplaceAllString(p.Path, ""), Problem: p.What + "; " + p.Fix})
		}
	}
	return d
}
