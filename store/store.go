package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga/machine"
)

// Store keeps sagas, their histories, pending records and timers. The implementations are boltstore
// (a log and a file, one process) and memstore (in memory, the model for random tests). Package storetest
// is their conformance suite. All methods are safe for concurrent use.
type Store interface {
	// Commit is the only method that changes sagas. Each change is atomic: it includes state,
	// history, outbox and timer (I1). The changes of one call may be committed together, and
	// concurrent calls may share one disk write. When Commit returns, every change without an error
	// is durable (fsync).
	//
	// results has one error or nil per change, in order. An error is a *ConflictError if the saga is
	// not at the expected revision (I7), or if a different saga was started with the same id. It is a
	// *TombstoneError if a saga with this id ended and was removed, ErrInvalid if the change is
	// inconsistent (Change.Check) or has another start than the saga, and a *CorruptError if the saga is damaged. It is ErrFull if the
	// change would start a saga while the disk is full: what room is left is for those that have started.
	// After ErrFull, the store is not broken.
	//
	// If err is not nil, it is unknown whether anything was committed. The store is then broken
	// (ErrBroken): every later call fails and the process ends, because a failed fsync must not be
	// retried. There are two exceptions, after which nothing was committed: ErrClosed, and the
	// error of a ctx that ended before the store accepted the changes.
	//
	// Changes of one saga are applied in the order of the call. The store does not keep references
	// to the caller's memory.
	Commit(ctx context.Context, changes []Change) (results []error, err error)

	// Load returns the saga's state. It returns ErrNotFound if there is no such saga,
	// *TombstoneError if the saga ended and was removed, and *CorruptError if its record is
	// damaged.
	Load(ctx context.Context, id contract.SagaID) (*machine.Instance, error)
	// History returns at most limit recorded events, oldest first, beginning with the event of
	// revision from. If from is 0, it begins with revision 1; if limit is below 1, it is MaxPage.
	// Event k moved the saga to revision k. If the state cannot be loaded, History returns the
	// error of Load.
	History(ctx context.Context, id contract.SagaID, from uint64, limit int) ([]machine.Event, error)
	// List returns at most page.Limit matching sagas, and the cursor of the next page or "". The
	// sagas are sorted by start, newest first, then by id. Pages are stable: an unchanged saga is
	// listed once. To bound the work of one call, a page may be shorter than its limit, or even
	// empty, although a next page exists. A damaged saga has Summary.Damage set, and is omitted if
	// the filter needs its state. List returns ErrCursor if the cursor is not of this filter.
	List(ctx context.Context, filter Filter, page Page) ([]Summary, string, error)
	// Counts returns the number of sagas by definition, version and phase, sorted in this order.
	// It omits zeros.
	Counts(ctx context.Context) ([]Count, error)

	// Due returns the ids of at most limit sagas whose timers are due at now, earliest first, then by
	// id. A limit below 1 means MaxPage. next is the time at which to call Due again, at the latest
	// the time of the next timer, or zero if there is no timer. Due has no visible effect.
	Due(ctx context.Context, now time.Time, limit int) (ids []contract.SagaID, next time.Time, err error)

	// Pending calls yield with the pending records of a destination until yield returns false. The
	// records are in commit order and, within a commit, in the order of Change.Enqueue. If after is
	// zero, they start with the first record, and otherwise with the record that follows this
	// position. Records of other destinations do not slow Pending down. yield may block commits for at
	// most one batch. Records that are committed during the call may be missed.
	Pending(ctx context.Context, to outbox.Destination, after outbox.Position, yield func(outbox.Position, outbox.Record) bool) error
	// Destinations returns the number of pending records per destination. It omits zeros. It must be
	// fast, because it is called every second.
	Destinations(ctx context.Context) (map[outbox.Destination]int, error)
	// Discard removes records that are no longer pending, and ignores unknown ids. It need not be
	// durable: a record that reappears is sent twice, which is harmless.
	Discard(ctx context.Context, ids []outbox.ID) error

	// Shared reports whether other processes may open the store and send its records.
	Shared() bool

	// ClaimStore saves the store's claim on a prefix.
	ownership.ClaimStore

	// Clock returns the state that SetClock saved, or zero if there is none.
	Clock(ctx context.Context) (Clock, error)
	// SetClock saves the state of the machine's clock durably.
	SetClock(ctx context.Context, c Clock) error

	// PutDefinition stores a definition. It does nothing if the definition exists with the same
	// fingerprint, and returns *DefinitionConflictError if it exists with a different one.
	PutDefinition(ctx context.Context, d Definition) error
	// Definitions returns all definitions, sorted by name and version.
	Definitions(ctx context.Context) ([]Definition, error)

	// Expire first drops the tombstones of sagas that ended before dropTombstones. Then it replaces
	// sagas that ended before endedBefore with tombstones. It handles at most limit tombstones and at
	// most limit sagas, in the order in which the sagas ended; a limit below 1 means MaxPage. It
	// returns the number of removed sagas and of dropped tombstones.
	Expire(ctx context.Context, endedBefore, dropTombstones time.Time, limit int) (removed, dropped int, err error)

	// RemoveDamaged replaces an unreadable saga with a tombstone. It deletes the saga's state,
	// history, timers and pending records. The id stays taken as long as tombstones are kept.
	// removal, which says who removes the saga and why, is stored in the tombstone.
	//
	// It returns ErrNotDamaged if the saga is readable, including its history if it has ended. For
	// a missing or removed saga, it returns the error of Load. If no record of the saga is found
	// because a different record has lost its key, it returns that record's *CorruptError.
	RemoveDamaged(ctx context.Context, id contract.SagaID, removal Removal) (Removed, error)

	// Backup writes a consistent copy of the store while it is in use, and returns its size in
	// bytes. A store without files returns errors.ErrUnsupported.
	Backup(ctx context.Context, w io.Writer) (int64, error)
	// Check returns an error if the store cannot take a commit now.
	Check(ctx context.Context) error
	// Close completes accepted calls and closes the store; a second call has no effect. All other
	// methods then return ErrClosed.
	Close() error
}

// Clock is the saved state of the machine's clocks. It is used to detect changes of the wall clock.
type Clock struct {
	Boot    string        // id of the boot from which Running counts, or "" if unknown
	Running time.Duration // monotonic time since boot, including sleep, at Wall
	Wall    time.Time
	Total   time.Duration // sum of all changes of the wall clock
	Retimes bool          // the timers of sagas are being shifted by Total; continued after a restart
	Held    time.Duration // monotonic time for which retention remains suspended
}

// Definition is a definition as it is stored. A store does not interpret it.
type Definition struct {
	Ref         contract.DefinitionRef
	Fingerprint string // lower-case hexadecimal SHA-256 of JSON
	JSON        []byte // input of saga.ParseJSON
}

// DefinitionOf returns the stored form of a *saga.Definition.
func DefinitionOf(d interface {
	Ref() contract.DefinitionRef
	Fingerprint() string
	json.Marshaler
}) (Definition, error) {
	data, err := d.MarshalJSON()
	return Definition{Ref: d.Ref(), Fingerprint: d.Fingerprint(), JSON: data}, err
}

// Change is a change of one saga.
type Change struct {
	// Expected is the revision that the saga must have, or 0 if the saga must not exist.
	Expected uint64
	// Instance is the new state, with Revision = Expected + len(Events). The store's indexes
	// (phase, definition, wake, ended) are derived from it. Its ID and Started identify the saga.
	// Its Start is that of the saga's first change, which stores keep. A change with another definition
	// or another input is refused with ErrInvalid; stores need not compare the rest, or all of the input.
	Instance *machine.Instance
	// Events are recorded as the revisions Expected+1 … Instance.Revision.
	Events []machine.Event
	// Enqueue lists the messages to send.
	Enqueue []outbox.Record
	// Discard lists the records that need not be sent any longer.
	Discard []outbox.ID
}

// Filter selects sagas. Zero fields do not restrict the selection.
type Filter struct {
	Definition                  string
	Version                     int
	Phases                      []contract.Phase
	IDPrefix                    string
	OpenOnly                    bool      // only sagas that have not ended
	StartedAfter, StartedBefore time.Time // StartedAfter is inclusive, StartedBefore is exclusive

	IDs           []contract.SagaID // only these sagas; at most MaxPage
	UpdatedBefore time.Time         // only sagas whose last update was before this time
	Reason        string            // substring of Summary.Reason, case-insensitive
	Paused        bool              // only paused sagas
	Overdue       bool              // only sagas whose deadline passed after the point of no return
	Step          contract.StepName // a step that is in progress, between attempts or parked
	Participant   string            // the participant of a step in progress
	// Plans returns a definition's plan, from which the names of steps and participants are taken. It
	// is required if Step or Participant is set. Sagas of unknown definitions (nil) do not match.
	Plans func(contract.DefinitionRef) *machine.Plan
}

// Page selects a part of a list.
type Page struct {
	Limit  int    // 1 … MaxPage; 0 means 100
	Cursor string // "" for the first page
}

// MaxPage bounds Page.Limit.
const MaxPage = 1000

// Summary describes a saga in a list.
type Summary struct {
	ID         contract.SagaID
	Definition contract.DefinitionRef
	Phase      contract.Phase
	Revision   uint64
	Started    time.Time
	Updated    time.Time
	Ended      time.Time // zero if the saga is open
	Reason     string    // why it compensates, was compensated or is parked
	Paused     *machine.Pause

	// Damage says what is unreadable. If it is set, only ID is known, and Definition, Phase and
	// Started if they are indexed.
	Damage string
}

// Count is the number of sagas of one definition in one phase.
type Count struct {
	Definition contract.DefinitionRef
	Phase      contract.Phase
	Sagas      int
	Ended      int // how many have ended; in phase Parked the abandoned sagas, in other phases all or none
}

// Sentinel errors, for errors.Is.
var (
	ErrNotFound           = errors.New("no such saga")
	ErrConflict           = errors.New("the saga has changed in the meantime")
	ErrEnded              = errors.New("the saga ended and was removed")
	ErrCorrupt            = errors.New("damaged record")
	ErrBroken             = errors.New("the store failed and takes no more commits")
	ErrClosed             = errors.New("the store is closed")
	ErrCursor             = errors.New("not a cursor of this list")
	ErrFull               = errors.New("the disk is full, so no saga can be started")
	ErrNotDamaged         = errors.New("the saga is not damaged")
	ErrDefinitionConflict = errors.New("this version is already registered with different content")
)

// ConflictError reports the saga's actual revision. It matches ErrConflict. If Actual equals
// Expected, a later saga with the same id exists.
type ConflictError struct {
	Saga     contract.SagaID
	Expected uint64
	Actual   uint64 // 0 if the saga does not exist
}

// TombstoneError holds what remains of a saga that ended and was removed. It matches ErrEnded.
type TombstoneError struct {
	Saga       contract.SagaID
	Definition contract.DefinitionRef
	Phase      contract.Phase      // completed, compensated or parked (abandoned)
	Start      machine.StartDigest // digest of the start, which identifies a repeated start; zero if unknown
	Started    time.Time           // zero if unknown
	Ended      time.Time
	Removal    *Removal // set if an operator removed the saga because of damage; nil if retention removed it
}

// Removal says why a damaged saga was removed. The saga counts as abandoned at the time of the
// removal. The other fields of its tombstone hold what was still readable.
type Removal struct {
	At         time.Time
	By, Reason string
	Damage     string // what was damaged; set by RemoveDamaged
}

// Removed describes what RemoveDamaged has removed, as far as known.
type Removed struct {
	Discarded []outbox.ID // records that are no longer pending; some may already have been discarded
	Open      bool        // whether the saga had not ended
}

// Birth returns the saga's birth, or 0 if unknown.
func (e *TombstoneError) Birth() contract.Birth {
	if e.Started.IsZero() {
		return 0
	}
	return contract.BirthOf(e.Started)
}

// CorruptError reports a damaged record. It matches ErrCorrupt.
type CorruptError struct {
	What string // for example "state of saga order-42"
	Why  string
	Saga contract.SagaID // "" if the record belongs to no saga, or to an unknown one
}

// DefinitionConflictError reports both fingerprints. It matches ErrDefinitionConflict.
type DefinitionConflictError struct {
	Definition        contract.DefinitionRef
	Registered, Given string // fingerprints
}

func (e *ConflictError) Error() string {
	if e.Actual == e.Expected {
		return fmt.Sprintf("saga %s ended, and was started again: %v", e.Saga, ErrConflict)
	}
	return fmt.Sprintf("saga %s is at revision %d, not %d: %v", e.Saga, e.Actual, e.Expected, ErrConflict)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

func (e *TombstoneError) Error() string {
	if e.Removal != nil {
		return fmt.Sprintf("saga %s was damaged, and removed at %s by %s: %s: %v", e.Saga, e.Ended.UTC().Format(time.RFC3339), e.Removal.By, e.Removal.Reason, ErrEnded)
	}
	return fmt.Sprintf("saga %s ended %s at %s: %v", e.Saga, e.Phase, e.Ended.UTC().Format(time.RFC3339), ErrEnded)
}

// Is makes errors.Is(err, ErrEnded) true.
func (e *TombstoneError) Is(target error) bool { return target == ErrEnded }

func (e *CorruptError) Error() string { return fmt.Sprintf("%v: %s: %s", ErrCorrupt, e.What, e.Why) }

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

func (e *DefinitionConflictError) Error() string {
	return fmt.Sprintf("definition %s: %v (registered %.12s, given %.12s): give the changed definition a new version",
		e.Definition, ErrDefinitionConflict, e.Registered, e.Given)
}

// Is makes errors.Is(err, ErrDefinitionConflict) true.
func (e *DefinitionConflictError) Is(target error) bool { return target == ErrDefinitionConflict }
