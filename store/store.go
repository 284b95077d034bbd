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

// Store keeps sagas, their histories, their pending records and their timers. Implementations:
// boltstore (embedded, one process) and memstore (in memory, the model for random tests). Package
// storetest is their conformance suite. All methods may be called from any goroutine.
type Store interface {
	// Commit is the only method that changes sagas. Each change is atomic: state, history, outbox
	// and timer together (I1). Changes of one call may be committed together, and concurrent calls
	// may share one write to disk. When it returns, the changes it reports as committed are durable
	// (fsync).
	//
	// It returns one error (or nil) per change, in order: *ConflictError if the saga is not at the
	// expected revision (I7) or another one was started with its id, *TombstoneError if a saga with
	// this id ended and was removed. err != nil means that nothing is known to be committed: the
	// store is broken (ErrBroken), every later call fails, and the process ends, because a failed
	// fsync must not be retried. Exceptions are ErrClosed, and the error of a ctx that ended before
	// the store accepted the changes: then nothing was committed.
	//
	// An inconsistent change is refused with ErrInvalid (Change.Check), and one of a damaged saga
	// with *CorruptError. Changes of one saga are applied in the order of the call. The store does
	// not keep the caller's memory.
	Commit(ctx context.Context, changes []Change) (results []error, err error)

	// Load returns the saga's state; ErrNotFound if there is none, *TombstoneError if it ended and
	// was removed, *CorruptError if its record is damaged.
	Load(ctx context.Context, id contract.SagaID) (*machine.Instance, error)
	// History returns the recorded events from revision from (1: the first), oldest first, at most
	// limit (below 1: MaxPage). Event k moved the saga to revision k. Without a state, it returns
	// the error of Load.
	History(ctx context.Context, id contract.SagaID, from uint64, limit int) ([]machine.Event, error)
	// List returns matching sagas, at most page.Limit, and the cursor of the next page; "" if there
	// is none. They are sorted by start, newest first, then by id. Pages are stable: an unchanged
	// saga is listed once. A page may be shorter than its limit, or even empty, and still have a
	// next one, which bounds the work of one call. A damaged saga has Summary.Damage, and is left
	// out if the filter needs its state. ErrCursor: not a cursor of this filter.
	List(ctx context.Context, filter Filter, page Page) ([]Summary, string, error)
	// Counts returns the number of sagas by definition, version and phase, in this
	// order; without zeros.
	Counts(ctx context.Context) ([]Count, error)

	// Due returns the ids of sagas whose timers are due at now, earliest first, then by id, at most
	// limit (below 1: MaxPage), and when to call again: not later than the next timer (zero: none).
	// It has no visible effect.
	Due(ctx context.Context, now time.Time, limit int) (ids []contract.SagaID, next time.Time, err error)

	// Pending calls yield with every pending record of a destination until yield returns false: in
	// commit order, within a commit in the order of Change.Enqueue, starting after a position
	// (zero: from the start). Records of other destinations do not slow it down. While yield runs,
	// it blocks commits for one batch at most, and may miss records that are committed meanwhile.
	Pending(ctx context.Context, to outbox.Destination, after outbox.Position, yield func(outbox.Position, outbox.Record) bool) error
	// Destinations returns the number of pending records per destination, without zeros. It is
	// fast, because it is called every second.
	Destinations(ctx context.Context) (map[outbox.Destination]int, error)
	// Discard removes records that are no longer pending; unknown ids are ignored. It need not be
	// durable: a record that reappears is sent twice, which is harmless.
	Discard(ctx context.Context, ids []outbox.ID) error

	// Shared reports whether other processes may have the store open and send its records.
	Shared() bool

	// ClaimStore saves the store's claim on a prefix.
	ownership.ClaimStore

	// Clock returns what SetClock has saved; zero: nothing.
	Clock(ctx context.Context) (Clock, error)
	// SetClock saves the state of the machine's clock durably.
	SetClock(ctx context.Context, c Clock) error

	// PutDefinition stores a definition. If it exists with the same fingerprint, nothing happens;
	// with another one: *DefinitionConflictError.
	PutDefinition(ctx context.Context, d Definition) error
	// Definitions returns all definitions, by name and version.
	Definitions(ctx context.Context) ([]Definition, error)

	// Expire first drops the tombstones of sagas that ended before dropTombstones, and then
	// replaces sagas that ended before endedBefore by tombstones: at most limit of each (below 1:
	// MaxPage), in the order of their ends. It returns how many it removed and dropped.
	Expire(ctx context.Context, endedBefore, dropTombstones time.Time, limit int) (removed, dropped int, err error)

	// RemoveDamaged replaces a saga that cannot be read by a tombstone: its state, history, timers
	// and pending records are deleted, and its id stays taken as long as tombstones are kept.
	// removal says who wants that and why, and is stored in the tombstone. ErrNotDamaged: the saga
	// can be read and, if it has ended, so can its history. For a missing or removed saga it
	// returns the error of Load; if nothing of the saga is found, because another record has lost
	// its key, that record's *CorruptError.
	RemoveDamaged(ctx context.Context, id contract.SagaID, removal Removal) (Removed, error)

	// Backup writes a consistent copy of the store while it is in use, and returns its size in
	// bytes. A store without files returns errors.ErrUnsupported.
	Backup(ctx context.Context, w io.Writer) (int64, error)
	// Check returns an error if the store cannot take a commit now.
	Check(ctx context.Context) error
	// Close finishes accepted calls and closes the store; a second call has no effect. Every other
	// method returns ErrClosed from then on.
	Close() error
}

// Clock is the saved state of the machine's clocks, by which a change of the wall clock is
// detected.
type Clock struct {
	Boot    string        // boot id that Running counts from; "": unknown
	Running time.Duration // monotonic time since boot, including sleep, at Wall
	Wall    time.Time
	Total   time.Duration // sum of all changes of the wall clock
	Retimes bool          // sagas are being retimed by Total; continued after a restart
	Held    time.Duration // remaining monotonic time for which retention is suspended
}

// Definition is a definition as it is stored. A store does not interpret it.
type Definition struct {
	Ref         contract.DefinitionRef
	Fingerprint string // the lower-case hexadecimal SHA-256 of JSON
	JSON        []byte // what saga.ParseJSON reads
}

// DefinitionOf returns what is stored of a *saga.Definition.
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
	// Expected is the revision that the saga must have; 0: it must not exist.
	Expected uint64
	// Instance is the new state, with Revision = Expected + len(Events). The store's indexes
	// (phase, definition, wake, ended) are derived from it. Its ID and Started identify the saga.
	Instance *machine.Instance
	// Events are recorded as revisions Expected+1 … Instance.Revision.
	Events []machine.Event
	// Enqueue lists the messages to send.
	Enqueue []outbox.Record
	// Discard lists the records that need not be sent any more.
	Discard []outbox.ID
}

// Filter selects sagas; zero fields do not filter.
type Filter struct {
	Definition                  string
	Version                     int
	Phases                      []contract.Phase
	IDPrefix                    string
	OpenOnly                    bool      // only sagas that have not ended
	StartedAfter, StartedBefore time.Time // StartedAfter is included, StartedBefore is not

	IDs           []contract.SagaID // one of these; at most MaxPage
	UpdatedBefore time.Time         // not updated since
	Reason        string            // substring of Summary.Reason, case-insensitive
	Paused        bool              // only paused sagas
	Step          contract.StepName // in progress, between attempts, or parked
	Participant   string            // asked by a step in progress
	// Plans returns a definition's plan, for the names of steps and participants; required with
	// Step and Participant. Sagas of unknown definitions (nil) do not match.
	Plans func(contract.DefinitionRef) *machine.Plan
}

// Page selects a part of a list.
type Page struct {
	Limit  int    // 1 … MaxPage; 0: 100
	Cursor string // "": the first page
}

// MaxPage bounds Page.Limit.
const MaxPage = 1000

// Summary is a saga in a list.
type Summary struct {
	ID         contract.SagaID
	Definition contract.DefinitionRef
	Phase      contract.Phase
	Revision   uint64
	Started    time.Time
	Updated    time.Time
	Ended      time.Time // zero: open
	Reason     string    // why it compensates, was compensated or is parked
	Paused     *machine.Pause

	// Damage says what cannot be read. Then only ID is known and, if they are indexed, Definition,
	// Phase and Started.
	Damage string
}

// Count is the number of sagas of a definition in a phase.
type Count struct {
	Definition contract.DefinitionRef
	Phase      contract.Phase
	Sagas      int
	Ended      int // how many have ended: all, none, or of Parked the abandoned ones
}

// Sentinel errors, for errors.Is.
var (
	ErrNotFound           = errors.New("no such saga")
	ErrConflict           = errors.New("the saga has moved on")
	ErrEnded              = errors.New("the saga ended and was removed")
	ErrCorrupt            = errors.New("damaged record")
	ErrBroken             = errors.New("the store failed and takes no more commits")
	ErrClosed             = errors.New("the store is closed")
	ErrCursor             = errors.New("not a cursor of this list")
	ErrNotDamaged         = errors.New("the saga is not damaged")
	ErrDefinitionConflict = errors.New("this version is registered with another content")
)

// ConflictError reports the saga's actual revision. errors.Is(err, ErrConflict). If that equals
// Expected, a later saga with the same id exists.
type ConflictError struct {
	Saga     contract.SagaID
	Expected uint64
	Actual   uint64 // 0: does not exist
}

// TombstoneError is what remains of a saga that ended and was removed. errors.Is(err, ErrEnded).
type TombstoneError struct {
	Saga       contract.SagaID
	Definition contract.DefinitionRef
	Phase      contract.Phase      // completed, compensated or parked (abandoned)
	Start      machine.StartDigest // digest of the start, by which a repeated one is recognised; zero: unknown
	Started    time.Time           // zero: unknown
	Ended      time.Time
	Removal    *Removal // set if an operator removed it because it was damaged; nil: removed by retention
}

// Removal says why a damaged saga was removed. The saga counts as abandoned at that time; the other
// fields hold what could still be read.
type Removal struct {
	At         time.Time
	By, Reason string
	Damage     string // what was damaged; set by RemoveDamaged
}

// Removed reports what RemoveDamaged has removed, as far as known.
type Removed struct {
	Discarded []outbox.ID // records that are no longer pending; some may have been discarded before
	Open      bool        // the saga had not ended
}

// Birth returns the saga's birth; 0: unknown.
func (e *TombstoneError) Birth() contract.Birth {
	if e.Started.IsZero() {
		return 0
	}
	return contract.BirthOf(e.Started)
}

// CorruptError reports a damaged record. errors.Is(err, ErrCorrupt).
type CorruptError struct {
	What string // "state of saga order-42", "outbox record …"
	Why  string
	Saga contract.SagaID // "": none, or unknown
}

// DefinitionConflictError reports both fingerprints. errors.Is(err, ErrDefinitionConflict).
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
