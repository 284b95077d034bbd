package participant

import (
	"bytes"
	"context"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Inbox stores the participant's answers for each step of a saga, in the same transaction as the
// handler's writes (I5). Tx is the type of that transaction, for example *sql.Tx. Implementations
// are sqlinbox, boltinbox and MemoryInbox. participanttest.RunInbox is their conformance suite.
type Inbox[Tx any] interface {
	// Update begins a transaction, locks the entry of key, and calls work. The lock excludes every
	// other Update of the same key, in this and other processes. Update then stores the entry that
	// work returns, unless it Equals the previous entry, and commits.
	//
	// If keep is false, the writes of work are rolled back, but the entry is stored. If work or the
	// database returns an error, nothing is stored. If the commit returns an error, it is unknown
	// whether the commit took place; the next Update of the key reads the actual entry. Update
	// itself retries conflicts between transactions. Therefore work may be called several times,
	// each time in a new transaction.
	Update(ctx context.Context, key StepKey, work Work[Tx]) error

	// Prune removes up to limit entries of a participant that were stored before the given time. It
	// returns the number of removed entries.
	Prune(ctx context.Context, participant string, before time.Time, limit int) (int, error)
}

// Work is called by Update while the entry is locked. It gets the stored entry, or the zero entry
// if there is none, and returns the entry to store. The byte slices of the stored entry may belong
// to the database. They are valid until work returns.
type Work[Tx any] func(ctx context.Context, tx Tx, entry Entry) (next Entry, keep bool, err error)

// StepKey identifies the entry for one step of one saga at one participant. The entry holds both
// directions. A later saga with the same id has another birth, and therefore separate entries. The
// entry whose key has only a Participant holds the newest claim (Claimed).
type StepKey struct {
	Participant string
	Saga        contract.SagaID
	Birth       contract.Birth
	Step        contract.StepName
}

// Entry holds the answers for a step, one for each direction.
type Entry struct {
	Do      Answer    // zero if not answered yet
	Undo    Answer    // zero if not answered yet
	Updated time.Time // when the entry was stored, in milliseconds
}

// Equal reports whether both entries hold the same answers. It ignores Updated.
func (e Entry) Equal(other Entry) bool {
	return e.Do.equal(other.Do) && e.Undo.equal(other.Undo)
}

// Answer is the recorded answer for one direction of a step. Failures are not recorded, so that the
// next attempt can succeed.
type Answer struct {
	Outcome contract.Outcome // completed, rejected or Tombstone; "" if there is none
	Data    []byte           // for completed, the result as it was sent
	Reason  string           // for rejected
}

// Tombstone is the outcome that is recorded for a do if its undo arrives first. If the do arrives
// later, it is rejected. This outcome is never sent.
const Tombstone contract.Outcome = "tombstone"

// None reports whether there is no answer yet.
func (a Answer) None() bool { return a.Outcome == "" }

func (a Answer) equal(b Answer) bool {
	return a.Outcome == b.Outcome && a.Reason == b.Reason && bytes.Equal(a.Data, b.Data)
}
