package transport

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/amends-dev/amends/contract"
)

// Names of an Envelope's attributes on the wire. Buses with headers send them in lower case and
// accept them in any case.
const (
	AttrSpecVersion = "ce-specversion"
	AttrID          = "ce-id"
	AttrSource      = "ce-source"
	AttrType        = "ce-type"
	AttrTime        = "ce-time"
	AttrContentType = "ce-datacontenttype"
	AttrSaga        = "ce-sagaid"
	AttrBirth       = "ce-birth"
	AttrDefinition  = "ce-definition"
	AttrStep        = "ce-step"
	AttrDirection   = "ce-direction"
	AttrAttempt     = "ce-attempt"
	AttrReplyTo     = "ce-replyto"
	AttrExpires     = "ce-expirytime"
	AttrOwner       = "ce-owner"
	AttrReason      = "ce-reason"
	AttrFinal       = "ce-final"
	AttrCode        = "ce-code"
	AttrRetryAfter  = "ce-retryafterms"
	AttrTraceParent = "traceparent"
	AttrTraceState  = "tracestate"
)

// SpecVersion is the supported version of CloudEvents.
const SpecVersion = "1.0"

// Redacted replaces text that must not be displayed.
const Redacted = "[redacted]"

// AttributeError describes an invalid attribute and the valid values.
type AttributeError struct {
	Name  string // such as ce-attempt
	Value string // received value, cut to 64 bytes
	Why   string
}

func (e *AttributeError) Error() string {
	return fmt.Sprintf("attribute %s %q: %s", contract.Cut(e.Name, contract.MaxNameLength), e.Value, e.Why)
}

// BadAttribute returns an *AttributeError with the attribute's received value and the problem. It
// redacts the value of a reason, because participants may quote data in a reason.
func BadAttribute(name, value, why string) error {
	if name == AttrReason {
		value = Redacted
	}
	return &AttributeError{Name: name, Value: contract.Cut(value, contract.MaxNameLength), Why: why}
}

// Attributes calls yield with the name and the unencoded value of each attribute that is set,
// always in the same order. Subject, DedupID and Data are not attributes. A trace context that must
// not be forwarded (see TraceContext) is omitted.
func (e *Envelope) Attributes(yield func(name, value string)) {
	yield(AttrSpecVersion, SpecVersion)
	text := func(name, value string) {
		if value != "" {
			yield(name, value)
		}
	}
	moment := func(name string, t time.Time) {
		if !t.IsZero() {
			yield(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	text(AttrID, e.ID)
	text(AttrSource, e.Source)
	text(AttrType, e.Type)
	moment(AttrTime, e.Time)
	text(AttrContentType, e.ContentType)
	text(AttrSaga, string(e.Saga))
	if e.Birth != 0 {
		yield(AttrBirth, e.Birth.String())
	}
	text(AttrDefinition, e.Definition.String())
	text(AttrStep, string(e.Step))
	text(AttrDirection, string(e.Direction))
	if e.Attempt != 0 {
		yield(AttrAttempt, strconv.Itoa(e.Attempt))
	}
	text(AttrReplyTo, e.ReplyTo)
	moment(AttrExpires, e.Expires)
	if e.Owner.Claim != 0 {
		yield(AttrOwner, e.Owner.String())
	}
	text(AttrReason, e.Reason)
	if e.Final {
		yield(AttrFinal, "true")
	}
	text(AttrCode, e.Code)
	if ms := e.RetryAfter.Milliseconds(); ms > 0 {
		yield(AttrRetryAfter, strconv.FormatInt(min(ms, MaxRetryAfter.Milliseconds()), 10))
	}
	traceParent, traceState, _ := TraceContext(e.TraceParent, e.TraceState)
	text(AttrTraceParent, traceParent)
	text(AttrTraceState, traceState)
}

// SetAttribute sets an attribute, given its lower-case name and its unencoded value. It returns an
// *AttributeError if the value is invalid or too long. A reason never causes an error, so that the
// answer with that reason still counts. A longer reason is cut at MaxRefusal, and invalid UTF-8 in
// it becomes question marks. An invalid trace context is dropped (TraceDropped), as W3C requires.
// Unknown names are ignored, because CloudEvents allows extensions.
func (e *Envelope) SetAttribute(name, value string) error {
	switch name {
	case AttrTraceParent:
		e.setTraceParent(value)
		return nil
	case AttrTraceState:
		e.setTraceState(value)
		return nil
	}
	if name == AttrReason {
		value = strings.ToValidUTF8(value, "?")
	}
	if !utf8.ValidString(value) {
		return e.Unreadable(name, strings.ToValidUTF8(value, "?"), "is not UTF-8")
	}
	if isContentType(name) {
		return e.setContentType(name, value)
	}
	if err := checkLength(name, value); err != nil {
		return err
	}
	return e.set(name, value)
}

// set sets an attribute whose length has been checked.
func (e *Envelope) set(name, value string) (err error) {
	switch name {
	case AttrSpecVersion:
		if value != SpecVersion {
			return BadAttribute(name, value, "only CloudEvents "+SpecVersion+" is supported")
		}
	case AttrID:
		e.ID = value
	case AttrSource:
		e.Source = value
	case AttrType:
		e.Type = value
	case AttrTime:
		e.Time, err = parseMoment(name, value)
	case AttrSaga:
		e.Saga = contract.SagaID(value)
		err = e.Saga.Check()
	case AttrBirth:
		e.Birth, err = contract.ParseBirth(value)
	case AttrDefinition:
		e.Definition, err = parseDefinition(value)
	case AttrStep:
		e.Step = contract.StepName(value)
		err = contract.CheckName("step", value)
	case AttrDirection:
		e.Direction = contract.Direction(value)
		err = e.Direction.Check()
	case AttrAttempt:
		var ok bool
		if e.Attempt, ok = contract.ParseNumber(value, 1); !ok {
			err = BadAttribute(name, value, "is not a number from 1 without leading zeros")
		}
	case AttrReplyTo:
		e.ReplyTo = value
		err = CheckSubject(value)
	case AttrExpires:
		e.Expires, err = parseMoment(name, value)
	case AttrOwner:
		e.Owner, err = parseOwner(value)
	case AttrReason:
		e.Reason = contract.Cut(value, MaxRefusal)
	case AttrFinal:
		e.Final, err = parseBool(name, value)
	case AttrCode:
		e.Code = value
	case AttrRetryAfter:
		e.RetryAfter, err = parseRetryAfter(name, value)
	}
	return err
}

func isContentType(name string) bool { return name == AttrContentType || name == "content-type" }

// noContentType replaces a content type that cannot be decoded. The replacement is never a valid
// content type.
const noContentType = "?"

// Unreadable returns an *AttributeError for a value that cannot be decoded. For a content type it
// returns a *ContentTypeError.
func (e *Envelope) Unreadable(name, value, problem string) error {
	err := BadAttribute(name, value, problem)
	if !isContentType(name) {
		return err
	}
	e.ContentType = noContentType
	return &ContentTypeError{err}
}

// setContentType sets the content type, and returns the error of CheckContentType. It sets the
// content type even if it is invalid; see ContentTypeError.
func (e *Envelope) setContentType(name, value string) error {
	if e.ContentType != noContentType && (name == AttrContentType || e.ContentType == "") {
		e.ContentType = value // ce-datacontenttype takes precedence over content-type
	}
	return checkMediaType(name, value)
}

// IsAnswer reports whether the envelope has a type that answers have.
func (e *Envelope) IsAnswer() bool {
	return e.Type == TypeCompleted || e.Type == TypeRejected || e.Type == TypeFailed
}

func parseBool(name, value string) (bool, error) {
	if value != "true" && value != "false" {
		return false, BadAttribute(name, value, "is neither true nor false")
	}
	return value == "true", nil
}

func parseRetryAfter(name, value string) (time.Duration, error) {
	ms, ok := contract.ParseNumber(value, 0)
	d := time.Duration(ms) * time.Millisecond
	if !ok || d > MaxRetryAfter {
		return 0, BadAttribute(name, value, fmt.Sprintf("is not a number of milliseconds up to %d without leading zeros", MaxRetryAfter.Milliseconds()))
	}
	return d, nil
}

func parseMoment(name, value string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return t, BadAttribute(name, value, "is not an RFC 3339 time such as 2026-11-21T09:30:00Z")
	}
	return t, nil
}

// parseDefinition parses a reference of the form name or name/version.
func parseDefinition(value string) (ref contract.DefinitionRef, err error) {
	name, version, versioned := strings.Cut(value, "/")
	if err := contract.CheckName("definition", name); err != nil {
		return ref, err
	}
	ref.Name = name
	if versioned {
		var ok bool
		if ref.Version, ok = contract.ParseNumber(version, 1); !ok {
			return ref, BadAttribute(AttrDefinition, value, "is not name or name/version with a version from 1 without leading zeros")
		}
	}
	return ref, nil
}
