package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// Store keeps sagas, their histories, what they have pending and when they want to be
// woken. Implementations: boltstore (embedded, one process), memstore (the model
// that random tests compare against). package storetest is the law they obey.
// All methods may be called from any goroutine.
type Store interface {
	// Commit is the only method that moves a saga. Each change is all or nothing:
	// state, history, outbox and timer together (I1); changes of one call may be
	// committed together, and calls that wait at the same time may share one
	// write to disk. When it returns, everything it reports as committed has
	// survived (fsync).
	//
	// It returns one error (or nil) per change, in order: *ConflictError when the
	// saga is not at the expected revision (I7) or is another one that was started with
	// this id since, *TombstoneError when a saga with
	// this id ended and was removed. err != nil means that nothing is known to be
	// committed: the store is broken (ErrBroken) and every later call fails; the
	// process ends, because a failed fsync must not be tried again. The exceptions
	// are ErrClosed and ctx's own error: ctx bounds the wait until the store takes
	// the changes up, and when it ended before that, nothing was committed.
	//
	// A change that contradicts itself is refused (ErrInvalid, Change.Check); one
	// that meets a damaged record too (*CorruptError). Changes of one saga are
	// taken in the order of the call. The store keeps no memory of the caller's.
	Commit(ctx context.Context, changes []Change) (results []error, err error)

	// Load returns the saga's state; ErrNotFound when there is none,
	// *TombstoneError when it ended and was removed, *CorruptError when its record
	// is damaged.
	Load(ctx context.Context, id contract.SagaID) (*machine.Instance, error)
	// History returns the recorded events from revision from (1: the first), at
	// most limit (below 1: MaxPage), oldest first. Event k moved the saga to
	// revision k. A saga without state is the error that Load returns.
	History(ctx context.Context, id contract.SagaID, from uint64, limit int) ([]machine.Event, error)
	// List returns sagas that match, at most page.Limit, and the cursor of the
	// next page; "" when there is none. Order: newest start first, then id. The
	// pages are stable: a saga that does not change is listed once. A page may be
	// shorter than its limit, even empty, and still have a next one: that bounds
	// the work of one call. A damaged saga is one with Summary.Damage, and left out
	// if filter asks for what only its state tells. ErrCursor: not a cursor of this
	// filter.
	List(ctx context.Context, filter Filter, page Page) ([]Summary, string, error)
	// Counts returns the number of sagas by definition, version and phase, in this
	// order; without zeros.
	Counts(ctx context.Context) ([]Count, error)

	// Due returns ids of sagas that want to be woken at now or before, earliest
	// first, then by id, at most limit (below 1: MaxPage), and when to ask again: no
	// later than when the next one after them is due (zero: none). It changes nothing
	// that can be seen.
	Due(ctx context.Context, now time.Time, limit int) (ids []contract.SagaID, next time.Time, err error)

	// Pending calls yield with every outbox record for a destination that is pending, in
	// the order of the commits that enqueue them and within a commit in the order of
	// Change.Enqueue, starting behind after (zero: from the start), until yield returns false.
	// What is pending for other destinations does not slow it down. It does not block commits
	// while yield runs for longer than one batch, and it need not show records that are
	// committed meanwhile.
	Pending(ctx context.Context, to outbox.Destination, after outbox.Position, yield func(outbox.Position, outbox.Record) bool) error
	// Destinations returns how many records are pending for each destination; without zeros. It is
	// quick: it is asked for every second.
	Destinations(ctx context.Context) (map[outbox.Destination]int, error)
	// Discard removes records that are no longer pending; unknown ones are ignored.
	// It need not be on disk when it returns: a record that comes back is sent
	// twice, which everybody can bear.
	Discard(ctx context.Context, ids []outbox.ID) error

	// Shared reports whether other processes may have the store open: what this one has not
	// sent of it another one may have.
	Shared() bool

	// Memory keeps what the store knows of its claim on a prefix.
	ownership.ClaimStore

	// Clock is what SetClock has remembered of the machine's clock; zero: nothing.
	Clock(ctx context.Context) (Clock, error)
	// SetClock remembers it, with an fsync.
	SetClock(ctx context.Context, c Clock) error

	// PutDefinition stores a definition. The same name, version and fingerprint
	// again: nothing happens. Another fingerprint: *DefinitionConflictError.
	PutDefinition(ctx context.Context, d *saga.Definition) error
	// Definitions returns all definitions, by name and version.
	Definitions(ctx context.Context) ([]*saga.Definition, error)

	// Expire replaces sagas that ended before the given time by tombstones, and
	// drops tombstones of sagas that ended before dropTombstones; at most limit of
	// each (below 1: MaxPage), those that ended first, first. It drops before it
	// removes. It returns how many it removed and dropped.
	Expire(ctx context.Context, endedBefore, dropTombstones time.Time, limit int) (removed, dropped int, err error)

	// RemoveDamaged puts a tombstone in the place of a saga that cannot be read: its state,
	// history and timers are gone then, what it has pending is dropped, and its id stays taken as
	// long as tombstones are kept. removal says who wants that and why, and stays with the
	// tombstone. A saga
	// that can be read, and that has ended one whose history can be read too, is refused
	// with ErrNotDamaged; one that is not there, or was removed, with the error that Load
	// returns; and one of which nothing is found, because another record has lost its key,
	// with that *CorruptError.
	RemoveDamaged(ctx context.Context, id contract.SagaID, removal Removal) (Removed, error)

	// Backup writes a consistent copy of the whole store while it is in use and
	// returns its size in bytes. A store that keeps nothing on disk returns
	// errors.ErrUnsupported.
	Backup(ctx context.Context, w io.Writer) (int64, error)
	// Check reports whether the store can take a commit now, with the reason if not.
	Check(ctx context.Context) error
	// Close finishes what was taken up and closes the store; a second call does
	// nothing. Every other method returns ErrClosed from then on.
	Close() error
}

// Clock is how the wall clock of the machine stood, so that it is noticed when it is set.
type Clock struct {
	Boot    string        // which start of the machine Running counts from; "": not known
	Running time.Duration // how long it was running, sleep included, at Wall
	Wall    time.Time
	Total   time.Duration // by how much the wall clock was set, in all
	Retimes bool          // sagas are being retimed to Total; whoever starts goes on with it
	Held    time.Duration // for how much more running time retention waits
}

// Change moves one saga.
type Change struct {
	// Expected is the revision the saga must be at; 0: it must not exist.
	Expected uint64
	// Instance is the new state. Its Revision is Expected + len(Events). The store
	// keeps its indexes (phase, definition, wake, ended) from it. Its ID and Started say
	// which saga it is.
	Instance *machine.Instance
	// Events are recorded as revisions Expected+1 … Instance.Revision.
	Events []machine.Event
	// Enqueue are the messages that must follow.
	Enqueue []outbox.Record
	// Discard are the records that this change makes unnecessary.
	Discard []outbox.ID
}

// Filter says which sagas to list; zero fields do not filter.
type Filter struct {
	Definition                  string
	Version                     int
	Phases                      []contract.Phase
	IDPrefix                    string
	OpenOnly                    bool      // only sagas that have not ended
	StartedAfter, StartedBefore time.Time // half open: StartedAfter belongs to the range

	IDs           []contract.SagaID // one of these; at most MaxPage are looked at
	UpdatedBefore time.Time         // that have not moved since
	Reason        string            // that Summary.Reason contains, upper and lower case alike
	Paused        bool              // that are paused
	Step          contract.StepName // that is under way, between two attempts, or parked
	Participant   string            // that a step under way asks
	// Definitions tells the names of steps and participants; needed with Step and
	// Participant. Nil for a definition that is not known: nothing of it matches.
	Definitions func(contract.DefinitionRef) *saga.Definition
}

// Page says which part of a list is wanted.
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
	Reason     string    // why it goes back, went back or is parked
	Paused     *machine.Pause

	// Damage says what cannot be read; then all that is known is ID and, where the index
	// tells, Definition, Phase and Started.
	Damage string
}

// Count is a number of sagas.
type Count struct {
	Definition contract.DefinitionRef
	Phase      contract.Phase
	Sagas      int
	Ended      int // how many of Sagas have ended: all, none, or of Parked those that were abandoned
}

// Conditions that callers tell apart with errors.Is.
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

// ConflictError says where the saga is instead. errors.Is(err, ErrConflict). If that is
// where it was expected, it is a later saga with the same id.
type ConflictError struct {
	Saga     contract.SagaID
	Expected uint64
	Actual   uint64 // 0: does not exist
}

// TombstoneError is what is left of a saga that ended and was removed.
// errors.Is(err, ErrEnded).
type TombstoneError struct {
	Saga       contract.SagaID
	Definition contract.DefinitionRef
	Phase      contract.Phase   // completed, compensated or parked (abandoned)
	Start      machine.StartSum // taken at the start: the same start again is answered, another one refused; zero: not known, none is the same
	Started    time.Time        // zero: not known
	Ended      time.Time
	Removal    *Removal // of a damaged saga, that it was removed; nil: retention did
}

// Removal is why a damaged saga was removed. It counts as abandoned at that moment; what
// else is known of it is what could still be read.
type Removal struct {
	At         time.Time
	By, Reason string
	Damage     string // what was damaged; RemoveDamaged fills it in
}

// Removed is what RemoveDamaged has removed, as far as that can be told.
type Removed struct {
	Discarded []outbox.ID // records that are not pending any more; some may have been discarded before
	Open      bool        // the saga had not ended
}

// Birth is that of the saga; 0: not known.
func (e *TombstoneError) Birth() contract.Birth {
	if e.Started.IsZero() {
		return 0
	}
	return contract.BirthOf(e.Started)
}

// CorruptError names a damaged record. errors.Is(err, ErrCorrupt).
type CorruptError struct {
	What string // "state of saga order-42", "outbox record …"
	Why  string
	Saga contract.SagaID // whose it is; "": that cannot be told, or nobody's
}

// DefinitionConflictError names both contents. errors.Is(err, ErrDefinitionConflict).
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
