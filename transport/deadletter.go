package transport

import (
	"context"
	"errors"
	"strings"
	"time"
)

// DeadLetter is a message that could not be understood, as it is kept.
type DeadLetter struct {
	Sequence uint64              // names it in ReplayDeadLetter and DiscardDeadLetter
	Stream   Stream              // where it came from
	Subject  string              // on which subject it came
	Reason   string              // what was wrong
	Time     time.Time           // since when it is here
	Header   map[string][]string // as it came, where the bus has headers
	Data     []byte              // as it came
}

// HeaderBlock is the name under which DeadLetter.Header has the headers that cannot be read,
// as one block.
const HeaderBlock = "dead-header-block"

// DeadLetterOffice is implemented by buses whose dead letters can be looked
// through and sent again.
type DeadLetterOffice interface {
	// ListDeadLetters returns at most limit dead letters behind the sequence after
	// (0: from the oldest), oldest first.
	ListDeadLetters(ctx context.Context, after uint64, limit int) ([]DeadLetter, error)
	// ReplayDeadLetter publishes the message again as it came (subject, headers,
	// data) and removes the dead letter. ErrNoDeadLetter: it is not there.
	ReplayDeadLetter(ctx context.Context, sequence uint64) error
	// DiscardDeadLetter removes the dead letter. ErrNoDeadLetter: it is not there.
	DiscardDeadLetter(ctx context.Context, sequence uint64) error
	// PurgeDeadLetters removes the dead letters that match, or with dry counts them, and
	// returns how many. next is the After with which to go on, because it looks at a
	// bounded number in one call; 0: that was all.
	PurgeDeadLetters(ctx context.Context, which DeadLetterFilter, dry bool) (matched int, next uint64, err error)
}

// DeadLetterFilter says which dead letters are meant: those that match all of its
// fields. The zero value matches all.
type DeadLetterFilter struct {
	Stream      Stream    // where they came from; "": any
	Participant string    // the participant that their subject names, or UnknownParticipant; "": any
	Reason      string    // a part of their reason; "": any
	Before      time.Time // kept since before then; zero: any time
	After       uint64    // only behind this sequence
}

// Matches reports whether a dead letter is meant; subjects are those of its bus.
func (f *DeadLetterFilter) Matches(subjects Subjects, l *DeadLetter) bool {
	if f.Participant != "" && subjects.DeadLetter(l.Stream, subjects.Participant(l.Subject)) != subjects.DeadLetter(l.Stream, f.Participant) {
		return false
	}
	return l.Sequence > f.After && (f.Stream == "" || l.Stream == f.Stream) &&
		strings.Contains(l.Reason, f.Reason) && (f.Before.IsZero() || l.Time.Before(f.Before))
}

// ErrNoDeadLetter: no dead letter has this sequence.
var ErrNoDeadLetter = errors.New("transport: no such dead letter")

// DeadLettersQuery asks for a page of dead letters.
type DeadLettersQuery struct {
	After uint64 `json:"after,omitempty"` // only behind this sequence
	Limit int    `json:"limit,omitempty"` // at most so many, up to 1000; 0: 100
}

// DeadLettersReply is a page of dead letters, oldest first.
type DeadLettersReply struct {
	DeadLetters []DeadLetterReply `json:"dead_letters"`
	Next        uint64            `json:"next,omitempty"` // After of the next page; 0: this was the last
}

// DeadLetterReply is a dead letter as it is told.
type DeadLetterReply struct {
	Sequence uint64              `json:"sequence"`
	Stream   Stream              `json:"stream"`
	Subject  string              `json:"subject"`
	Reason   string              `json:"reason"`
	Since    time.Time           `json:"since"`
	Header   map[string][]string `json:"header,omitempty"`
	Data     Payload             `json:"data"`
}

// DeadLettersRequest names dead letters, at most MaxDeadLetters of them.
type DeadLettersRequest struct {
	Sequences []uint64 `json:"sequences"`
	By        string   `json:"by,omitempty"` // who asks, for the log
}

// MaxDeadLetters bounds the dead letters that one request names or gets.
const MaxDeadLetters = 1000

// PurgeDeadLettersRequest asks to remove the dead letters that match all of its fields.
// One without any of Stream, Participant, Reason and OlderThanMs needs All.
type PurgeDeadLettersRequest struct {
	Stream      Stream `json:"stream,omitempty"`        // where they came from
	Participant string `json:"participant,omitempty"`   // whose messages they were; "unknown": nobody's
	Reason      string `json:"reason,omitempty"`        // a part of their reason
	OlderThanMs int64  `json:"older_than_ms,omitempty"` // kept for longer than that, in milliseconds
	All         bool   `json:"all,omitempty"`           // whatever they are
	DryRun      bool   `json:"dry_run,omitempty"`       // only count them
	By          string `json:"by,omitempty"`            // who asks, for the log
	After       uint64 `json:"after,omitempty"`         // Next of the reply before
}

// PurgeDeadLettersReply says how many were removed, or would be.
type PurgeDeadLettersReply struct {
	Matched int    `json:"matched"`
	Next    uint64 `json:"next,omitempty"` // After with which to go on; 0: that was all
}

// DeadLettersDone says what was done to dead letters.
type DeadLettersDone struct {
	Done   []uint64           `json:"done,omitempty"`
	Failed []FailedDeadLetter `json:"failed,omitempty"`
}

// FailedDeadLetter is a dead letter with which something went wrong.
type FailedDeadLetter struct {
	Sequence uint64 `json:"sequence"`
	Problem  string `json:"problem"`
}
