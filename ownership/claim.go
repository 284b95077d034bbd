package ownership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Claim says whose a prefix is. It is a record on the bus, as JSON.
type Claim struct {
	Prefix      string    `json:"prefix"`
	Store       string    `json:"store"`                // the store's identity: another one after each restore
	Number      uint64    `json:"number"`               // grows whenever another one than the same process's heir takes it
	Incarnation string    `json:"incarnation"`          // random, of the process
	Host        string    `json:"host,omitempty"`       // where it runs
	Boot        string    `json:"boot,omitempty"`       // of that machine, since it was started
	File        string    `json:"file,omitempty"`       // device and inode of the store, which its process has locked
	Address     string    `json:"address,omitempty"`    // of its API, for people
	Version     string    `json:"version,omitempty"`    // of the program
	Since       time.Time `json:"since"`                // when this process made it, by its own clock
	Released    time.Time `json:"released,omitzero"`    // when it was given up in order; zero: it is not
	TakenFrom   string    `json:"taken_from,omitempty"` // the store that had it before, if it was another one
	// Contested: whoever had it before may not have noticed yet, and may send. It is for whoever
	// has the claim next, and taken out after two bounds.
	Contested bool `json:"contested,omitempty"`
}

// Owned is what a store remembers of its claim. It is on disk before the claim is made, so
// that a copy of the store that is older than the claim can be told from the store.
type Owned struct {
	Store       string // its identity; never empty
	Number      uint64 // of the claim; 0: it has never had one
	Incarnation string // of the process that made it, or was about to
	Before      string // of the process whose claim that one replaced: it may be the registered one still
}

// Memory is the store's part. Implementations: every store.
type Memory interface {
	Owned(ctx context.Context) (Owned, error)
	// Own remembers a claim, with an fsync. The store's identity does not change.
	Own(ctx context.Context, o Owned) error
}

// Position is where a claim lies; zero: nowhere. Token is what a registry knows its owner by,
// who may not be the one that has read it.
type Position struct{ Sequence, Token uint64 }

// Entry is what a registry holds.
type Entry struct {
	Claim *Claim   // nil: none
	At    Position // of the claim
	Pulse uint64   // is another one after each confirmation
}

// Registry is the bus's part: it holds one claim, which all who use the bus see alike.
type Registry interface {
	Read(ctx context.Context) (Entry, error)
	// Write replaces the claim at a position; zero: there must be none. Nothing that its former
	// owner confirms, or sends on a bus that fences, is taken from then on. ErrMoved: another one
	// is there. Any other error: it may have been written.
	Write(ctx context.Context, c *Claim, over Position) (Position, error)
	// Confirm shows that the owner of the claim at a position is alive. ErrMoved: it is not the
	// claim any more.
	Confirm(ctx context.Context, at Position) error
	// Fences reports whether the bus itself refuses what the owner of an earlier claim sends.
	Fences() bool
	// Moved signals that the claim should be confirmed now: the bus may have lost it.
	Moved() <-chan struct{}
}

// ErrMoved: the registry does not hold what was expected.
var ErrMoved = errors.New("the claim has been changed")

// OwnedError refuses a store that a prefix does not belong to. It ends the process.
type OwnedError struct {
	Claim  Claim
	Heard  time.Time // when its owner was last heard, by our clock; zero: not since we look
	Ours   Owned
	Reason string // why it is not ours
	// Replaced: it was ours until now. Since is when we were last sure of that.
	Replaced bool
	Since    time.Time
}

func (e *OwnedError) Error() string {
	var b strings.Builder
	if e.Replaced {
		b.WriteString("another store has taken over: ")
	}
	fmt.Fprintf(&b, "the prefix %s belongs to the store %s (claim %d", e.Claim.Prefix, e.Claim.Store, e.Claim.Number)
	if e.Claim.Host != "" {
		fmt.Fprintf(&b, ", on %s", e.Claim.Host)
	}
	if e.Claim.Address != "" {
		fmt.Fprintf(&b, " at %s", e.Claim.Address)
	}
	fmt.Fprintf(&b, ", since %s", e.Claim.Since.UTC().Format(time.RFC3339))
	if !e.Heard.IsZero() {
		fmt.Fprintf(&b, ", last heard %s", e.Heard.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "), and this store is %s: %s", e.Ours.Store, e.Reason)
	if !e.Replaced {
		b.WriteString("; stop the other coordinator and start this one with --take-over if it has to act instead, or give it a --prefix of its own")
	}
	return b.String()
}
