package participant

import (
	"bytes"
	"context"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Inbox stores, for each step of a saga, what a participant answered, in the transaction of the
// handler's own writes (I5). Tx is that transaction, for example *sql.Tx. Implementations:
// sqlinbox, boltinbox, MemoryInbox. participanttest.RunInbox is their conformance suite.
type Inbox[Tx any] interface {
	// Update begins a transaction that locks the entry of key against every other Update of the
	// same key, in this and other processes, and calls work in it. It stores the entry that work
	// returns, unless that Equals the one work was given, and commits.
	//
	// keep false: the writes of work are rolled back, and the entry is stored nevertheless. If work
	// or the database returns an error, nothing is stored. After an error of the commit it is open
	// whether it happened; the next Update of the key finds out. Update itself retries conflicts
	// between transactions, so work may be called several times, each time in a new transaction.
	Update(ctx context.Context, key StepKey, work Work[Tx]) error

	// Prune removes at most limit entries of a participant that were stored before a time, and
	// returns how many it removed.
	Prune(ctx context.Context, participant string, before time.Time, limit int) (int, error)
}

// Work is called by Update while the entry is locked. It gets the stored entry, zero if there is
// none, and returns the one to store. The entry's byte slices may belong to the database: they are
// valid until work returns.
type Work[Tx any] func(ctx context.Context, tx Tx, entry Entry) (next Entry, keep bool, err error)

// StepKey identifies an entry: one step of one saga at one participant, for both directions. A
// later saga with the same id has another birth, and therefore its own entries. The entry with only
// a Participant holds the newest claim (Claimed).
type StepKey struct {
	Participant string
	Saga        contract.SagaID
	Birth       contract.Birth
	Step        contract.StepName
}

// Entry holds the answers for a step, one for each direction.
type Entry struct {
	Do      Answer    // zero: not answered yet
	Undo    Answer    // zero: not answered yet
	Updated time.Time // when it was stored, to the millisecond
}

// Equal reports whether both entries hold the same answers, whenever they were stored.
func (e Entry) Equal(other Entry) bool {
	return e.Do.equal(other.Do) && e.Undo.equal(other.Undo)
}

// Answer is the recorded answer to one direction of a step. Failures are not recorded, so that the
// next attempt can succeed.
type Answer struct {
	Outcome contract.Outcome // completed, rejected or Tombstone; "": none
	Data    []byte           // of completed: the result, as it was sent
	Reason  string           // of rejected
}

// Tombstone is the outcome recorded for a do whose undo came first: if the do still comes, it is
// rejected. It is never sent.
const Tombstone contract.Outcome = "tombstone"

// None reports whether there is no answer yet.
func (a Answer) None() bool { return a.Outcome == "" }

func (a Answer) equal(b Answer) bool {
	return a.Outcome == b.Outcome && a.Reason == b.Reason && bytes.Equal(a.Data, b.Data)
}
