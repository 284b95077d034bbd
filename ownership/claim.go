package ownership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Claim records which store owns a prefix. It is stored on the bus as JSON.
type Claim struct {
	Prefix      string    `json:"prefix"`
	Store       string    `json:"store"`                // identity of the store; a restore creates a new one
	Number      uint64    `json:"number"`               // fencing token; grows when a different store or machine claims
	Incarnation string    `json:"incarnation"`          // random, different for each process
	Host        string    `json:"host,omitempty"`       // host name of the process
	Boot        string    `json:"boot,omitempty"`       // boot id of that host
	File        string    `json:"file,omitempty"`       // device and inode of the store file, locked by the process
	Address     string    `json:"address,omitempty"`    // address of its API
	Version     string    `json:"version,omitempty"`    // version of the program
	Since       time.Time `json:"since"`                // when this process took the claim, by its own clock
	Released    time.Time `json:"released,omitzero"`    // when the claim was released; zero if it is held
	TakenFrom   string    `json:"taken_from,omitempty"` // the previous owner's store, if it is a different store
	// Contested means that the previous owner may not have noticed the change yet and may still send,
	// so the next owner has to wait too. It is cleared after two TTLs.
	Contested bool `json:"contested,omitempty"`
}

// SavedClaim is the state of the claim that the store itself saves. It is saved before the claim is
// written to the bus, so that an older copy of the store can be recognised.
type SavedClaim struct {
	Store       string // identity of the store; never empty
	Number      uint64 // number of the last claim, or 0
	Incarnation string // of the process that wrote the claim or was about to write it
	Before      string // incarnation of the process whose claim is replaced; the registry may still hold that claim
}

// ClaimStore saves the store's claim. Every store implements it.
type ClaimStore interface {
	LoadClaim(ctx context.Context) (SavedClaim, error)
	// SaveClaim saves a claim durably. The store's identity does not change.
	SaveClaim(ctx context.Context, o SavedClaim) error
}

// Position identifies a written claim; the zero value means no claim. Token identifies the claim's
// owner to the registry. The owner may differ from the process that read the claim.
type Position struct{ Sequence, Token uint64 }

// Entry is the content of a registry.
type Entry struct {
	Claim *Claim   // nil if there is none
	At    Position // position of Claim
	Pulse uint64   // changes with every confirmation
}

// Registry holds the claim on the bus. All clients of the bus see the same claim.
type Registry interface {
	Read(ctx context.Context) (Entry, error)
	// Write replaces the claim at a position; if the position is zero, there must be no claim. From
	// then on, the registry accepts no confirmation by the previous owner, and a bus that fences
	// accepts none of that owner's messages. Write returns ErrChanged if the registry holds a
	// different claim. After any other error, the claim may have been written.
	Write(ctx context.Context, c *Claim, over Position) (Position, error)
	// Confirm shows that the owner of the claim at a position is alive. It returns ErrChanged if
	// that claim has been replaced.
	Confirm(ctx context.Context, at Position) error
	// Fences reports whether the bus itself refuses messages from the owners of earlier claims.
	Fences() bool
	// ConfirmNow signals that the bus may have lost the claim. The claim should then be confirmed at
	// once.
	ConfirmNow() <-chan struct{}
}

// ErrChanged is returned when the registry does not hold the expected claim.
var ErrChanged = errors.New("the claim has been changed")

// NotOwnerError reports that a prefix belongs to a different store. It ends the process.
type NotOwnerError struct {
	Claim     Claim
	LastHeard time.Time // when its owner last confirmed, by our clock; zero if never while we watched
	Ours      SavedClaim
	Reason    string // why we do not own the prefix
	// Replaced means that the claim was ours until now. Since is when our claim was last confirmed.
	Replaced bool
	Since    time.Time
}

func (e *NotOwnerError) Error() string {
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
	if !e.LastHeard.IsZero() {
		fmt.Fprintf(&b, ", last heard %s", e.LastHeard.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "), but this store is %s: %s", e.Ours.Store, e.Reason)
	if !e.Replaced {
		b.WriteString("; to replace the other coordinator, stop it and start this one with --take-over; to run both, give this one its own --prefix")
	}
	return b.String()
}
