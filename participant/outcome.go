package participant

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/amends-dev/amends/contract"
)

// Limits on results and reasons (I10).
const (
	// MaxResult bounds the encoded result of a handler, in bytes: JSON, or a []byte as quoted
	// base64. A larger result, or JSON that contract.CheckJSON refuses, is a final failure
	// (contract.ClassBadResult), and the handler's writes are rolled back.
	MaxResult = contract.MaxPayload
	// MaxReason bounds the reason of a rejection or failure, in bytes. Longer ones are truncated.
	MaxReason = contract.MaxReason
)

// Reject returns the error with which a do handler rejects its command for a business reason: card
// declined, out of stock. It is final: the handler's writes are rolled back, the rejection is
// recorded, and later attempts are answered with it. The saga compensates.
//
// An undo handler's rejection is answered but not recorded, so that an operator can retry the undo
// after removing the cause.
func Reject(reason string) error { return &rejection{reason} }

// Rejectf is Reject with a format.
func Rejectf(format string, args ...any) error {
	return &rejection{fmt.Sprintf(format, args...)}
}

// Fatal marks an error as final: retrying cannot help (an unknown product, an invalid request). The
// handler's writes are rolled back and nothing is recorded; the coordinator makes no further
// attempt. Fatal(nil) is nil.
//
// Any other error is a failure that may be retried.
func Fatal(err error) error {
	if err == nil {
		return nil
	}
	return &fatal{err}
}

// Rejected reports whether err, or an error it wraps, was made by Reject or
// Rejectf.
func Rejected(err error) bool {
	if err == nil {
		return false // the usual case; avoids allocating r
	}
	var r *rejection
	return errors.As(err, &r)
}

// IsFatal reports whether err, or an error it wraps, was made by Fatal.
func IsFatal(err error) bool {
	var f *fatal
	return errors.As(err, &f)
}

type rejection struct{ reason string }

func (r *rejection) Error() string { return r.reason }

type fatal struct{ err error }

func (f *fatal) Error() string { return f.err.Error() }
func (f *fatal) Unwrap() error { return f.err }

// CommandError says why a message cannot be answered: it is not a command, or not for this
// participant. Put such messages into the dead-letter stream.
type CommandError struct {
	Reason string
}

func (e *CommandError) Error() string { return "command cannot be answered: " + e.Reason }

// cleanReason makes a reason fit for a text column and a message header: valid UTF-8 without NUL,
// at most MaxReason bytes.
func cleanReason(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
	if len(s) <= MaxReason {
		return s
	}
	cut := MaxReason - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
