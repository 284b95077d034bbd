package transport

import (
	"context"
	"errors"
	"strings"
	"time"
)

// DeadLetter is a message that could not be processed, as it is stored.
type DeadLetter struct {
	Sequence uint64              // its id for ReplayDeadLetter and DiscardDeadLetter
	Stream   Stream              // the stream it was received from
	Subject  string              // the subject it was received on
	Reason   string              // what was wrong
	Time     time.Time           // when it was dead-lettered
	Header   map[string][]string // as received, if the bus has headers
	Data     []byte              // as received
}

// HeaderBlock is the key in DeadLetter.Header for headers that cannot be parsed, as one block.
const HeaderBlock = "dead-header-block"

// DeadLetterOffice is implemented by buses on which dead letters can be listed and replayed.
type DeadLetterOffice interface {
	// ListDeadLetters returns at most limit dead letters after a sequence (0: from the oldest),
	// oldest first.
	ListDeadLetters(ctx context.Context, after uint64, limit int) ([]DeadLetter, error)
	// ReplayDeadLetter publishes the message again as received (subject, headers, data) and removes
	// the dead letter. ErrNoDeadLetter: there is none.
	ReplayDeadLetter(ctx context.Context, sequence uint64) error
	// DiscardDeadLetter removes the dead letter. ErrNoDeadLetter: there is none.
	DiscardDeadLetter(ctx context.Context, sequence uint64) error
	// PurgeDeadLetters removes the matching dead letters, or only counts them if dry is set, and
	// returns their number. It examines a bounded number per call: next is the After to continue
	// with; 0: done.
	PurgeDeadLetters(ctx context.Context, which DeadLetterFilter, dry bool) (matched int, next uint64, err error)
}

// DeadLetterFilter selects dead letters that match all of its fields. The zero value matches all.
type DeadLetterFilter struct {
	Stream      Stream    // they were received from; "": any
	Participant string    // named by their subject, or UnknownParticipant; "": any
	Reason      string    // substring of their reason; "": any
	Before      time.Time // dead-lettered before then; zero: any time
	After       uint64    // only after this sequence
}

// Matches reports whether the filter selects a dead letter; subjects are those of its bus.
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
	After uint64 `json:"after,omitempty"` // only after this sequence
	Limit int    `json:"limit,omitempty"` // at most 1000; 0: 100
}

// DeadLettersReply is a page of dead letters, oldest first.
type DeadLettersReply struct {
	DeadLetters []DeadLetterReply `json:"dead_letters"`
	Next        uint64            `json:"next,omitempty"` // After of the next page; 0: this was the last
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

// DeadLettersRequest selects dead letters by sequence, at most MaxDeadLetters.
type DeadLettersRequest struct {
	Sequences []uint64 `json:"sequences"`
	By        string   `json:"by,omitempty"` // who asks, for the log
}

// MaxDeadLetters bounds the dead letters of one request or reply.
const MaxDeadLetters = 1000

// PurgeDeadLettersRequest removes the dead letters that match all of its fields. Without Stream,
// Participant, Reason and OlderThanMs it needs All.
type PurgeDeadLettersRequest struct {
	Stream      Stream `json:"stream,omitempty"`        // they were received from
	Participant string `json:"participant,omitempty"`   // whose messages they are; "unknown": of no participant
	Reason      string `json:"reason,omitempty"`        // substring of their reason
	OlderThanMs int64  `json:"older_than_ms,omitempty"` // dead-lettered longer ago than this, in milliseconds
	All         bool   `json:"all,omitempty"`           // remove all
	DryRun      bool   `json:"dry_run,omitempty"`       // only count them
	By          string `json:"by,omitempty"`            // who asks, for the log
	After       uint64 `json:"after,omitempty"`         // Next of the previous reply
}

// PurgeDeadLettersReply reports how many were removed, or would be.
type PurgeDeadLettersReply struct {
	Matched int    `json:"matched"`
	Next    uint64 `json:"next,omitempty"` // After to continue with; 0: done
}

// DeadLettersDone reports the result for each dead letter.
type DeadLettersDone struct {
	Done   []uint64           `json:"done,omitempty"`
	Failed []FailedDeadLetter `json:"failed,omitempty"`
}

// FailedDeadLetter is a dead letter for which the request failed.
type FailedDeadLetter struct {
	Sequence uint64 `json:"sequence"`
	Problem  string `json:"problem"`
}
