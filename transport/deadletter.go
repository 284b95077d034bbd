package transport

import (
	"context"
	"errors"
	"strings"
	"time"
)

// DeadLetter is a stored message that could not be processed.
type DeadLetter struct {
	Sequence uint64              // id for ReplayDeadLetter and DiscardDeadLetter
	Stream   Stream              // stream from which it was received
	Subject  string              // subject on which it was received
	Reason   string              // why it could not be processed
	Time     time.Time           // when it was dead-lettered
	Header   map[string][]string // as received, if the bus has headers
	Data     []byte              // as received
}

// HeaderBlock is the key in DeadLetter.Header of a header block that could not be parsed.
const HeaderBlock = "dead-header-block"

// DeadLetterOffice is implemented by buses on which dead letters can be listed and replayed.
type DeadLetterOffice interface {
	// ListDeadLetters returns up to limit dead letters after the given sequence, oldest first.
	// Sequence 0 starts at the oldest.
	ListDeadLetters(ctx context.Context, after uint64, limit int) ([]DeadLetter, error)
	// ReplayDeadLetter publishes the message with its received subject, headers and data, and
	// removes the dead letter. It returns ErrNoDeadLetter if there is none.
	ReplayDeadLetter(ctx context.Context, sequence uint64) error
	// DiscardDeadLetter removes the dead letter. It returns ErrNoDeadLetter if there is none.
	DiscardDeadLetter(ctx context.Context, sequence uint64) error
	// PurgeDeadLetters removes the matching dead letters, or only counts them if dry is true, and
	// returns their number. One call examines a limited number of dead letters. Continue with next
	// as the filter's After, until next is 0.
	PurgeDeadLetters(ctx context.Context, which DeadLetterFilter, dry bool) (matched int, next uint64, err error)
}

// DeadLetterFilter selects the dead letters that match all of its fields. The zero value matches
// every dead letter.
type DeadLetterFilter struct {
	Stream      Stream    // stream from which they were received; "" means any
	Participant string    // participant that their subject names, or UnknownParticipant; "" means any
	Reason      string    // substring of their reason; "" means any
	Before      time.Time // only dead letters with an earlier Time; zero means any time
	After       uint64    // only dead letters with a higher Sequence
}

// Matches reports whether the filter selects a dead letter. subjects are the Subjects of the dead
// letter's bus.
func (f *DeadLetterFilter) Matches(subjects Subjects, l *DeadLetter) bool {
	if f.Participant != "" && subjects.DeadLetter(l.Stream, subjects.Participant(l.Subject)) != subjects.DeadLetter(l.Stream, f.Participant) {
		return false
	}
	return l.Sequence > f.After && (f.Stream == "" || l.Stream == f.Stream) &&
		strings.Contains(l.Reason, f.Reason) && (f.Before.IsZero() || l.Time.Before(f.Before))
}

// ErrNoDeadLetter is returned if no dead letter has the given sequence.
var ErrNoDeadLetter = errors.New("transport: no such dead letter")
