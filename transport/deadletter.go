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
	Before      time.Time // only those dead-lettered before this time; zero means any time
	After       uint64    // only those after this sequence
}

// Matches reports whether the filter selects a dead letter. subjects are those of the dead letter's
// bus.
func (f *DeadLetterFilter) Matches(subjects Subjects, l *DeadLetter) bool {
	if f.Participant != "" && subjects.DeadLetter(l.Stream, subjects.Participant(l.Subject)) != subjects.DeadLetter(l.Stream, f.Participant) {
		return false
	}
	return l.Sequence > f.After && (f.Stream == "" || l.Stream == f.Stream) &&
		strings.Contains(l.Reason, f.Reason) && (f.Before.IsZero() || l.Time.Before(f.Before))
}

// ErrNoDeadLetter is returned if no dead letter has the given sequence.
var ErrNoDeadLetter = errors.New("transport: no such dead letter")

// DeadLettersQuery describes a page of dead letters.
type DeadLettersQuery struct {
	After uint64 `json:"after,omitempty"` // only those after this sequence
	Limit int    `json:"limit,omitempty"` // at most 1000; 0 means 100
}

// DeadLettersReply is a page of dead letters, oldest first.
type DeadLettersReply struct {
	DeadLetters []DeadLetterReply `json:"dead_letters"`
	Next        uint64            `json:"next,omitempty"` // After of the next page; 0 on the last page
}

// DeadLetterReply is a dead letter in a reply.
type DeadLetterReply struct {
	Sequence uint64              `json:"sequence"`
	Stream   Stream              `json:"stream"`
	Subject  string              `json:"subject"`
	Reason   string              `json:"reason"`
	Since    time.Time           `json:"since"`
	Header   map[string][]string `json:"header,omitempty"`
	Data     Payload             `json:"data"`
}

// DeadLettersRequest selects up to MaxDeadLetters dead letters by sequence.
type DeadLettersRequest struct {
	Sequences []uint64 `json:"sequences"`
	By        string   `json:"by,omitempty"` // who sends the request, for the log
}

// MaxDeadLetters is the maximum number of dead letters in a request or reply.
const MaxDeadLetters = 1000

// PurgeDeadLettersRequest selects the dead letters to remove: those that match all fields. If
// Stream, Participant, Reason and OlderThanMs are all empty, All is required.
type PurgeDeadLettersRequest struct {
	Stream      Stream `json:"stream,omitempty"`        // stream from which they were received
	Participant string `json:"participant,omitempty"`   // participant in their subject; "unknown" if it names none
	Reason      string `json:"reason,omitempty"`        // substring of their reason
	OlderThanMs int64  `json:"older_than_ms,omitempty"` // minimum age since dead-lettering, in milliseconds
	All         bool   `json:"all,omitempty"`           // required to remove all dead letters
	DryRun      bool   `json:"dry_run,omitempty"`       // only count the dead letters
	By          string `json:"by,omitempty"`            // who sends the request, for the log
	After       uint64 `json:"after,omitempty"`         // Next of the previous reply
}

// PurgeDeadLettersReply contains the number of dead letters that were removed or, in a dry run,
// would be.
type PurgeDeadLettersReply struct {
	Matched int    `json:"matched"`
	Next    uint64 `json:"next,omitempty"` // After of the next request; 0 if the purge is complete
}

// DeadLettersDone contains the result for each dead letter.
type DeadLettersDone struct {
	Done   []uint64           `json:"done,omitempty"`
	Failed []FailedDeadLetter `json:"failed,omitempty"`
}

// FailedDeadLetter is a dead letter that could not be replayed or discarded.
type FailedDeadLetter struct {
	Sequence uint64 `json:"sequence"`
	Problem  string `json:"problem"`
}
