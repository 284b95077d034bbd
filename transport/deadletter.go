package transport

import (
	"context"
	"errors"
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
}

// MaxDeadLetters bounds the dead letters that one request names or gets.
const MaxDeadLetters = 1000

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
