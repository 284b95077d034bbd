package participant

import (
	"bytes"
	"context"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Inbox keeps, per step of a saga, what a participant answered, in the
// transaction of the handler's own writes (I5). Tx is that transaction, for
// example *sql.Tx. Implementations: sqlinbox, boltinbox, MemoryInbox; the suite
// participanttest.RunInbox tests that one keeps its contract.
type Inbox[Tx any] interface {
	// Update begins a transaction in which the entry of key is locked against
	// every other Update of the same key, here and in other processes, and calls
	// work in it. Then it stores the entry that work returned, unless it Equals
	// the one that work was given, and commits.
	//
	// keep false: what work wrote is undone, and the entry is stored nevertheless.
	// On error from work or the database nothing at all is stored; the error of a
	// commit may leave open whether it happened, and the next Update of the key
	// finds out. Update retries conflicts between transactions itself: work may be
	// called several times, each time with nothing left of the last one.
	Update(ctx context.Context, key StepKey, work Work[Tx]) error

	// Prune removes at most limit entries of a participant that were stored before
	// a time, and returns how many it removed.
	Prune(ctx context.Context, participant string, before time.Time, limit int) (int, error)
}

// Work is what Update does under the lock of an entry: it gets the entry as
// stored, zero if there is none, and returns the one to store. The entry's byte
// slices may be the database's own: they are valid until work returns.
type Work[Tx any] func(ctx context.Context, tx Tx, entry Entry) (next Entry, keep bool, err error)

// StepKey names an entry: one step of one saga at one participant, in both
// directions. One entry of a participant has neither saga, birth nor step (Claimed). A later saga with the same id has another birth, and entries of its own.
type StepKey struct {
	Participant string
	Saga        contract.SagaID
	Birth       contract.Birth
	Step        contract.StepName
}

// Entry is what was answered for a step, in each direction.
type Entry struct {
	Do      Answer    // zero: not answered yet
	Undo    Answer    // zero: not answered yet
	Updated time.Time // when it was stored, to the millisecond
}

// Equal reports whether both entries say the same, whenever they were stored.
func (e Entry) Equal(other Entry) bool {
	return e.Do.equal(other.Do) && e.Undo.equal(other.Undo)
}

// Answer is what was answered to one direction of a step. Failures are not
// answers: they are not recorded, so that the next attempt can do better.
type Answer struct {
	Outcome contract.Outcome // completed, rejected or Tombstone; "": none
	Data    []byte           // of completed: the result, as it was sent
	Reason  string           // of rejected
}

// Tombstone is the outcome of a do that is recorded by its undo, which came
// first: should the do come after all, it is refused. It is never sent.
const Tombstone contract.Outcome = "tombstone"

// None reports whether there is no answer yet.
func (a Answer) None() bool { return a.Outcome == "" }

func (a Answer) equal(b Answer) bool {
	return a.Outcome == b.Outcome && a.Reason == b.Reason && bytes.Equal(a.Data, b.Data)
}
