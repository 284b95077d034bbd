package participant

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/amends-dev/amends/contract"
)

// Limits on what a participant says (I10).
const (
	// MaxResult bounds the encoded result of a handler, in bytes: JSON, or the base64 in
	// quotes of a []byte. A larger one, and JSON that contract.CheckJSON refuses, is a final
	// failure (contract.ClassBadResult), and the handler's writes are undone.
	MaxResult = contract.MaxPayload
	// MaxReason bounds the reason of a rejection or failure, in bytes. Longer ones
	// are cut.
	MaxReason = contract.MaxReason
)

// Reject returns the error with which a do handler says the business's no: card
// declined, out of stock. It is final: what the handler wrote is undone, the no is recorded, and
// every later attempt is answered with it. The saga goes back.
//
// Returned by an undo handler it is answered as rejected, but not recorded: an
// operator who has removed the cause can have it tried again.
func Reject(reason string) error { return &rejection{reason} }

// Rejectf is Reject with a format.
func Rejectf(format string, args ...any) error {
	return &rejection{fmt.Sprintf(format, args...)}
}

// Fatal marks an error as final: trying again cannot help (an unknown product,
// a request that makes no sense). What the handler wrote is undone and nothing is
// recorded; the coordinator makes no further attempt. Fatal(nil) is nil.
//
// Any other error says: failed, may be tried again.
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
		return false // as most often, and without memory for r
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

// CommandError says why a message cannot be answered: it is no command, or not
// one for this participant. It belongs into the dead-letter stream.
type CommandError struct {
	Reason string
}

func (e *CommandError) Error() string { return "command cannot be answered: " + e.Reason }

// cleanReason makes a reason fit for a text column and a message header: valid
// UTF-8 without NUL, at most MaxReason bytes.
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
