package participant

import (
	"errors"
	"fmt"
	"strings"

	"github.com/amends-dev/amends/contract"
)

// Limits on results and reasons (I10).
const (
	// MaxResult limits the encoded result of a handler, in bytes. The encoding is JSON, or quoted
	// base64 for a []byte. A larger result, or JSON that contract.CheckJSON refuses, is a final
	// failure (contract.ClassBadResult). The handler's writes are then rolled back.
	MaxResult = contract.MaxPayload
	// MaxReason limits the reason of a rejection or failure, in bytes. A longer reason is
	// truncated.
	MaxReason = contract.MaxReason
)

// Reject returns an error with which a do handler rejects its command for a business reason, such
// as a declined card or an item out of stock. The rejection is final. The handler's writes are
// rolled back, the rejection is recorded, and later attempts get the same answer. The saga
// compensates.
//
// A rejection by an undo handler is sent but not recorded. After an operator has removed the cause,
// the undo can be retried.
func Reject(reason string) error { return &rejection{errors.New(reason)} }

// Rejectf is like Reject, with a format of fmt.Errorf. With %w, errors.Is and errors.As find the cause
// of the rejection.
func Rejectf(format string, args ...any) error {
	return &rejection{fmt.Errorf(format, args...)}
}

// Fatal marks an error as final: retries are useless, for example for an unknown product or an
// invalid request. The handler's writes are rolled back and nothing is recorded. The coordinator
// makes no further attempt. Fatal(nil) returns nil.
//
// Any other error is a failure that may be retried.
func Fatal(err error) error {
	if err == nil {
		return nil
	}
	return &fatal{err}
}

// IsRejection reports whether err wraps an error of Reject or Rejectf.
func IsRejection(err error) bool {
	if err == nil {
		return false // the most frequent case; avoids allocating r
	}
	var r *rejection
	return errors.As(err, &r)
}

// IsFatal reports whether err wraps an error of Fatal.
func IsFatal(err error) bool {
	var f *fatal
	return errors.As(err, &f)
}

type rejection struct{ err error }

func (r *rejection) Error() string { return r.err.Error() }
func (r *rejection) Unwrap() error { return r.err }

type fatal struct{ err error }

func (f *fatal) Error() string { return f.err.Error() }
func (f *fatal) Unwrap() error { return f.err }

// CommandError describes why a message cannot be answered: it is not a command, is for a different
// participant, or comes from a replaced coordinator. Such messages should be dead-lettered.
type CommandError struct {
	Reason string
}

func (e *CommandError) Error() string { return "command cannot be answered: " + e.Reason }

// cleanReason makes a reason valid for a text column and a message header. The result is valid
// UTF-8 without NUL and has at most MaxReason bytes.
func cleanReason(s string) string {
	return contract.Cut(strings.ReplaceAll(s, "\x00", "\uFFFD"), MaxReason)
}
