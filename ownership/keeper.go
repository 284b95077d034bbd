package ownership

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"
)

// Defaults of Config.
const (
	DefaultInterval = 3 * time.Second
	DefaultTTL      = 9 * time.Second
)

// Config configures a Keeper.
type Config struct {
	Registry Registry
	Store    ClaimStore
	// Me describes this process: Prefix, Host, Boot, File, Address and Version, and a random
	// Incarnation. Other fields are ignored.
	Me Claim
	// TakeOver takes the claim even if the keeper would otherwise refuse or wait.
	TakeOver bool
	// Exclusive means that no other process can reach the registry, as with an embedded server
	// whose files are in the store's directory. The keeper then never waits.
	Exclusive bool
	Interval  time.Duration // between two confirmations; 0 means DefaultInterval
	TTL       time.Duration // validity of a confirmation; 0 means DefaultTTL
	// Clock is monotonic and also runs while the machine sleeps. Now returns the wall-clock time,
	// which is used for messages and claim numbers only.
	Clock func() time.Duration
	Now   func() time.Time
}

// Keeper takes a store's claim and keeps it confirmed. One goroutine calls Step; the other methods
// are safe for concurrent use.
type Keeper struct {
	config Config

	saved   SavedClaim
	silence *silence // nil unless waiting for an owner to stay silent

	mu             sync.Mutex
	claim          *Claim // our claim, or nil
	at             Position
	confirmedUntil time.Duration // by Clock
	othersUntil    time.Duration // by Clock; until then the previous owner may still send
	lastConfirmed  time.Time     // by Now
	waitingFor     *Claim        // the claim whose owner must stay silent
	replacedBy     *Claim        // the claim that replaced ours, or nil
	registryErr    error         // error of the last request to the registry

	changesMu sync.Mutex
	changes   map[string]bool // sagas changed since the last confirmation; true if also changed since the current one began
}

// silence describes a wait of two TTLs during which the owner must not confirm.
type silence struct {
	entry *Entry // nil if the registry has no claim; a running owner may write it again
	since time.Duration
}

// New returns a keeper without a claim.
func New(c Config) *Keeper {
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	return &Keeper{config: c, changes: map[string]bool{}}
}

// Confirmed reports whether this store may send and receive: its claim was confirmed within the
// last TTL, and no previous owner can still be sending.
func (k *Keeper) Confirmed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.config.Clock()
	return k.claim != nil && now < k.confirmedUntil && now >= k.othersUntil
}

// Number returns the number of our claim, or 0 if there is none.
func (k *Keeper) Number() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.claim == nil {
		return 0
	}
	return k.claim.Number
}

// RecordChange records a committed start or change of a saga.
func (k *Keeper) RecordChange(id string) {
	k.changesMu.Lock()
	defer k.changesMu.Unlock()
	k.changes[id] = true
}

// UnconfirmedChanges returns the ids of the sagas that were started or changed since the last
// confirmation, sorted. A store that has taken over the prefix may not know of these changes.
func (k *Keeper) UnconfirmedChanges() []string {
	k.changesMu.Lock()
	defer k.changesMu.Unlock()
	return slices.Sorted(maps.Keys(k.changes))
}

// confirmationBegan marks the changes so far as covered by the confirmation in progress.
func (k *Keeper) confirmationBegan() {
	k.changesMu.Lock()
	defer k.changesMu.Unlock()
	for id := range k.changes {
		k.changes[id] = false
	}
}

// confirmed removes the changes made before the confirmation began.
func (k *Keeper) confirmed() {
	k.changesMu.Lock()
	defer k.changesMu.Unlock()
	maps.DeleteFunc(k.changes, func(_ string, since bool) bool { return !since })
}

// Status describes the state of a keeper for operators.
type Status struct {
	Claim         Claim     // our claim, the claim being waited for, or the claim that replaced ours
	Owner         bool      // whether this store has the claim
	Confirmed     bool      // whether this store has the claim and it is confirmed
	Replaced      bool      // whether a different store has taken the claim; this process then ends
	LastConfirmed time.Time // zero if never
	Waiting       string    // the reason for waiting, or ""
}

// Status returns the keeper's state.
func (k *Keeper) Status() Status {
	sure := k.Confirmed()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.replacedBy != nil:
		return Status{Claim: *k.replacedBy, Replaced: true, LastConfirmed: k.lastConfirmed, Waiting: "stopping: another store has taken over the prefix"}
	case k.claim != nil && k.config.Clock() < k.othersUntil:
		return Status{Claim: *k.claim, Owner: true, LastConfirmed: k.lastConfirmed, Waiting: "waiting until the previous owner has noticed that it was replaced; it may still send until then"}
	case k.claim != nil && !sure:
		why := "no answer from the bus yet"
		if k.registryErr != nil {
			why = k.registryErr.Error()
		}
		return Status{Claim: *k.claim, Owner: true, LastConfirmed: k.lastConfirmed, Waiting: "the claim could not be confirmed: " + why}
	case k.claim != nil:
		return Status{Claim: *k.claim, Owner: true, Confirmed: true, LastConfirmed: k.lastConfirmed}
	case k.waitingFor != nil:
		return Status{Claim: *k.waitingFor, Waiting: fmt.Sprintf("the store's last process, on %s, did not release its claim; waiting until the claim has not been confirmed for %s", k.waitingFor.Host, 2*k.config.TTL)}
	case k.registryErr != nil:
		return Status{Claim: Claim{Prefix: k.config.Me.Prefix}, Waiting: fmt.Sprintf("the claim cannot be taken on the bus yet: %v", k.registryErr)}
	}
	return Status{Claim: Claim{Prefix: k.config.Me.Prefix}, Waiting: "reading the claim from the bus"}
}

// noteResult saves the error of a request to the registry for Status, and returns it.
func (k *Keeper) noteResult(err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.registryErr = err
	return err
}

// Step does the work that is due and returns the time until the next call. A *NotOwnerError or an
// error of the store ends the process. An unreachable bus is not an error.
func (k *Keeper) Step(ctx context.Context) (again time.Duration, err error) {
	k.mu.Lock()
	owner := k.claim != nil
	k.mu.Unlock()
	if owner {
		if err := k.confirm(ctx); err != nil {
			return 0, err
		}
		return k.config.Interval, k.clearContested(ctx)
	}
	if k.saved.Store == "" {
		if k.saved, err = k.config.Store.LoadClaim(ctx); err != nil {
			return 0, fmt.Errorf("read the store's claim: %w", err)
		}
	}
	entry, err := k.config.Registry.Read(ctx)
	if k.noteResult(err) != nil {
		return retry, nil //nolint:nilerr // it is asked again
	}
	return k.seek(ctx, entry)
}

// retry is the wait before the next request to a bus that did not respond.
const retry = time.Second

// seek decides from the registry's entry whether the claim can be taken now.
func (k *Keeper) seek(ctx context.Context, entry Entry) (again time.Duration, err error) {
	c, me := entry.Claim, &k.config.Me
	ours := c != nil && c.Store == k.saved.Store && (c.Incarnation == k.saved.Incarnation || c.Incarnation == k.saved.Before)
	here := ours && c.Boot == me.Boot && c.File == me.File && c.Boot != "" && c.File != ""
	switch {
	case c == nil && (k.saved.Number == 0 || k.config.Exclusive):
		return k.take(ctx, entry, false)
	case c == nil: // a running owner may be about to write its claim again
	case here && k.config.TakeOver: // participants may know a later claim than the bus
		return k.take(ctx, entry, false)
	case here, ours && c.Incarnation == me.Incarnation:
		// Either this process wrote the claim without receiving the response, or an earlier process
		// with this store file did. That process has stopped, because we hold the file's lock.
		return k.write(ctx, entry, max(c.Number, k.saved.Number), false)
	case !c.Released.IsZero(), k.config.Exclusive:
		return k.take(ctx, entry, false)
	case k.config.TakeOver:
		return k.take(ctx, entry, true)
	case c.Store != k.saved.Store:
		return 0, k.refused(entry, "a different store")
	case !ours:
		return 0, k.refused(entry, "an older copy of that store, which has had the claim since")
	}
	now := k.config.Clock()
	switch w := k.silence; {
	case w != nil && c != nil && w.entry != nil && (w.entry.Pulse != entry.Pulse || w.entry.At.Sequence != entry.At.Sequence):
		return 0, k.refused(entry, "a copy of that store, whose coordinator is running")
	case w == nil || (w.entry == nil) != (c == nil):
		k.silence = &silence{since: now}
		if c != nil {
			k.silence.entry = &entry
		}
		k.mu.Lock()
		k.waitingFor = c
		k.mu.Unlock()
	case now-w.since >= 2*k.config.TTL:
		return k.take(ctx, entry, c != nil)
	}
	return retry, nil
}

func (k *Keeper) refused(entry Entry, why string) error {
	e := &NotOwnerError{Claim: *entry.Claim, Ours: k.saved, Reason: why}
	if k.silence != nil {
		e.LastHeard = k.config.Now()
	}
	return e
}

// take writes a claim with a new number. alive is true if the previous owner may still send.
func (k *Keeper) take(ctx context.Context, entry Entry, alive bool) (time.Duration, error) {
	number := k.saved.Number
	if entry.Claim != nil {
		number = max(number, entry.Claim.Number)
	}
	// The bus may have lost its data, and the store may be an older backup. So the number must
	// exceed the numbers that participants remember, and differ from the number of any other store.
	number = max(number+1+k.stride(), uint64(max(k.config.Now().UnixMicro(), 0)))
	return k.write(ctx, entry, number, alive)
}

// stride makes the new numbers differ if two owners increment the same number. That happens if both
// clocks are behind the number and the bus loses one claim before the other store writes its own.
// stride is less than 2^20 and differs for each store and process.
func (k *Keeper) stride() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(k.saved.Store + " " + k.config.Me.Incarnation)) // never fails
	return h.Sum64() % (1 << 20)
}

func (k *Keeper) write(ctx context.Context, entry Entry, number uint64, alive bool) (time.Duration, error) {
	// If the entry is contested, the owner before that claim may still be sending, too.
	alive = !k.config.Exclusive && (alive || entry.Claim != nil && entry.Claim.Contested)
	claim := k.config.Me
	claim.Contested = alive
	claim.Store, claim.Number, claim.Since, claim.Released, claim.TakenFrom = k.saved.Store, number, k.config.Now(), time.Time{}, ""
	if entry.Claim != nil && entry.Claim.Store != claim.Store {
		claim.TakenFrom = entry.Claim.Store
	}
	remembered := SavedClaim{Store: k.saved.Store, Number: number, Incarnation: claim.Incarnation}
	if entry.Claim != nil && entry.Claim.Store == claim.Store {
		remembered.Before = entry.Claim.Incarnation
	}
	if k.saved != remembered {
		if err := k.config.Store.SaveClaim(ctx, remembered); err != nil {
			return 0, fmt.Errorf("store the claim: %w", err)
		}
		k.saved = remembered
	}
	began, last := k.config.Clock(), k.config.Now()
	at, err := k.config.Registry.Write(ctx, &claim, entry.At)
	if k.noteResult(err) != nil {
		return retry, nil //nolint:nilerr // the next read shows who owns it; this process may, if the write arrived
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.claim, k.at, k.waitingFor, k.silence = &claim, at, nil, nil
	k.confirmedUntil, k.lastConfirmed = began+k.config.TTL, last
	k.waitForOthers()
	return k.config.Interval, nil
}

// waitForOthers sets the time until which the owner before a contested claim may still send. There
// is no wait if the bus refuses that owner's messages. The caller holds k.mu.
func (k *Keeper) waitForOthers() {
	if k.claim.Contested && !k.config.Registry.Fences() {
		k.othersUntil = k.config.Clock() + 2*k.config.TTL
	}
}

// clearContested writes the claim without its contested mark once the wait is over.
func (k *Keeper) clearContested(ctx context.Context) error {
	k.mu.Lock()
	now := k.config.Clock()
	due := k.claim.Contested && now < k.confirmedUntil && now >= k.othersUntil
	claim, at := *k.claim, k.at
	k.mu.Unlock()
	if !due {
		return nil
	}
	claim.Contested = false
	at, err := k.config.Registry.Write(ctx, &claim, at)
	if errors.Is(err, ErrChanged) {
		at, err = k.restore(ctx, &claim) // an earlier write may have succeeded without a response
	}
	if _, replaced := errors.AsType[*NotOwnerError](err); replaced {
		return err
	}
	if k.noteResult(err) != nil {
		return nil //nolint:nilerr // the next confirmation finds what became of it
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.claim, k.at = &claim, at
	return nil
}

func sameClaim(a, b *Claim) bool {
	return a != nil && a.Store == b.Store && a.Number == b.Number && a.Incarnation == b.Incarnation
}

// confirm confirms the claim, and detects if it is no longer ours.
func (k *Keeper) confirm(ctx context.Context) error {
	k.mu.Lock()
	claim, at := k.claim, k.at
	k.mu.Unlock()
	k.confirmationBegan()
	began, last := k.config.Clock(), k.config.Now()
	err := k.config.Registry.Confirm(ctx, at)
	if errors.Is(err, ErrChanged) {
		at, err = k.restore(ctx, claim)
	}
	if _, replaced := errors.AsType[*NotOwnerError](err); replaced {
		return err
	}
	if k.noteResult(err) != nil {
		return nil //nolint:nilerr // unconfirmed once the last confirmation is old enough
	}
	k.confirmed()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at, k.confirmedUntil, k.lastConfirmed = at, began+k.config.TTL, last
	return nil
}

// restore reads the registry after a failed confirmation, and writes our claim again if the bus has
// lost it. If a different store has since written a claim with a lower number, restore replaces
// that claim too, because participants that know our number ignore that store's commands.
func (k *Keeper) restore(ctx context.Context, claim *Claim) (Position, error) {
	entry, err := k.config.Registry.Read(ctx)
	switch {
	case err != nil:
		return Position{}, err
	case entry.Claim == nil, sameClaim(entry.Claim, claim): // the bus has lost the claim or its owner token
		return k.config.Registry.Write(ctx, claim, entry.At) // after ErrChanged, confirming finds the new owner
	case entry.Claim.Number < claim.Number:
		return k.displace(ctx, claim, entry.At)
	}
	return Position{}, k.replaced(entry.Claim)
}

// displace replaces a different store's claim, which has a lower number, with ours.
func (k *Keeper) displace(ctx context.Context, claim *Claim, over Position) (at Position, err error) {
	contested := *claim
	contested.Contested = !k.config.Exclusive
	k.mu.Lock()
	k.claim = &contested
	k.othersUntil = k.config.Clock() + 2*k.config.TTL // recomputed after the write
	k.mu.Unlock()
	if at, err = k.config.Registry.Write(ctx, &contested, over); err != nil {
		return at, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.othersUntil = 0
	k.waitForOthers()
	return at, nil
}

func (k *Keeper) replaced(by *Claim) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.confirmedUntil, k.replacedBy = 0, by
	return &NotOwnerError{Claim: *by, Ours: k.saved, Reason: "the other store may have decided differently about sagas that this store started or changed since its claim was last confirmed", Replaced: true, Since: k.lastConfirmed}
}

// Check reads the claim before an action that a different owner might also take. It returns an
// error if the claim is not ours or its state is unknown.
func (k *Keeper) Check(ctx context.Context) error {
	k.mu.Lock()
	claim := k.claim
	k.mu.Unlock()
	if claim == nil {
		return errors.New("this store does not own the prefix")
	}
	entry, err := k.config.Registry.Read(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read the claim: %w", err)
	case entry.Claim == nil:
		return errors.New("the bus has lost the claim; it is being written again")
	case !sameClaim(entry.Claim, claim):
		return k.replaced(entry.Claim)
	}
	return nil
}

// Release releases the claim, so that the next owner need not wait for two TTLs.
func (k *Keeper) Release(ctx context.Context) error {
	k.mu.Lock()
	claim := k.claim
	k.claim = nil
	k.mu.Unlock()
	if claim == nil {
		return nil
	}
	entry, err := k.config.Registry.Read(ctx)
	if err == nil && sameClaim(entry.Claim, claim) {
		released := *claim
		released.Released = k.config.Now()
		_, err = k.config.Registry.Write(ctx, &released, entry.At)
	}
	if err != nil {
		return fmt.Errorf("release the claim: %w", err)
	}
	return nil
}
