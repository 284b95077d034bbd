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
	DefaultEvery = 3 * time.Second
	DefaultBound = 9 * time.Second
)

// Config says who wants a claim, and how.
type Config struct {
	Registry Registry
	Memory   Memory
	// Me is this process: Prefix, Host, Boot, File, Address and Version count, and
	// Incarnation, which has to be random.
	Me Claim
	// TakeOver takes the claim where it would be refused, or waited for.
	TakeOver bool
	// Alone: nobody else can reach the bus's registry, as with an embedded server, whose files
	// belong to the store's directory. Nobody is waited for.
	Alone bool
	Every time.Duration // between two confirmations; 0: DefaultEvery
	Bound time.Duration // how long a confirmation holds; 0: DefaultBound
	// Clock goes on at the same rate whatever is done to the machine's time, and while it
	// sleeps. Now is the time of day, for people.
	Clock func() time.Duration
	Now   func() time.Time
}

// Keeper gets a store its claim and keeps it. Step is called by one goroutine; all else by
// any.
type Keeper struct {
	config Config

	owned   Owned
	waiting *wait // for the owner of a claim, or one that may come, to show itself

	mu    sync.Mutex
	claim *Claim // ours; nil: we have none
	at    Position
	sure  time.Duration // until when we are, by Clock
	quiet time.Duration // until when another one may still send
	last  time.Time     // when we were last sure, by Now
	other *Claim        // for whose silence we wait
	taken *Claim        // the one that replaced ours; nil: none has
	fault error         // why the registry could not be asked last; nil: it could

	moving sync.Mutex
	moved  map[string]bool // since we were last sure; true: and since the confirmation under way began
}

// wait is for two bounds of silence.
type wait struct {
	entry *Entry // whose owner has to be silent; nil: for a claim that may be recreated
	since time.Duration
}

// New returns a keeper that has no claim yet.
func New(c Config) *Keeper {
	if c.Every == 0 {
		c.Every = DefaultEvery
	}
	if c.Bound == 0 {
		c.Bound = DefaultBound
	}
	return &Keeper{config: c, moved: map[string]bool{}}
}

// Sure reports whether this store is the owner, for all that can be known: it may send and take.
func (k *Keeper) Sure() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.config.Clock()
	return k.claim != nil && now < k.sure && now >= k.quiet
}

// Number is that of our claim; 0: we have none.
func (k *Keeper) Number() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.claim == nil {
		return 0
	}
	return k.claim.Number
}

// Moved notes that a saga has been accepted or moved here, once it is committed.
func (k *Keeper) Moved(id string) {
	k.moving.Lock()
	defer k.moving.Unlock()
	k.moved[id] = true
}

// MovedSince lists what was accepted or moved since this store was last sure to be the owner,
// sorted. Whoever has the prefix after us may know nothing of that.
func (k *Keeper) MovedSince() []string {
	k.moving.Lock()
	defer k.moving.Unlock()
	return slices.Sorted(maps.Keys(k.moved))
}

// began notes that a confirmation is under way: whatever moves from here may come after it.
func (k *Keeper) began() {
	k.moving.Lock()
	defer k.moving.Unlock()
	for id := range k.moved {
		k.moved[id] = false
	}
}

// confirmed forgets what had moved when the confirmation began.
func (k *Keeper) confirmed() {
	k.moving.Lock()
	defer k.moving.Unlock()
	maps.DeleteFunc(k.moved, func(_ string, since bool) bool { return !since })
}

// Status is where a keeper stands, for people.
type Status struct {
	Claim    Claim     // ours, the one for whose end we wait, or the one that replaced ours
	Owner    bool      // it is ours
	Sure     bool      // and certain
	Replaced bool      // it was ours; whoever was replaced ends
	Last     time.Time // when it last was certain; zero: never
	Waiting  string    // what is waited for; "": nothing
}

// Status is where the keeper stands.
func (k *Keeper) Status() Status {
	sure := k.Sure()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.taken != nil:
		return Status{Claim: *k.taken, Replaced: true, Last: k.last, Waiting: "this process is stopping: another store has taken the prefix over"}
	case k.claim != nil && k.config.Clock() < k.quiet:
		return Status{Claim: *k.claim, Owner: true, Last: k.last, Waiting: "the claim's last holder may still send, and is given time to notice"}
	case k.claim != nil && !sure:
		why := "no answer of the bus yet"
		if k.fault != nil {
			why = k.fault.Error()
		}
		return Status{Claim: *k.claim, Owner: true, Last: k.last, Waiting: "the claim could not be confirmed: " + why}
	case k.claim != nil:
		return Status{Claim: *k.claim, Owner: true, Sure: true, Last: k.last}
	case k.other != nil:
		return Status{Claim: *k.other, Waiting: fmt.Sprintf("the store's last process, on %s, did not release its claim; waiting until it has been silent for %s", k.other.Host, 2*k.config.Bound)}
	case k.fault != nil:
		return Status{Claim: Claim{Prefix: k.config.Me.Prefix}, Waiting: fmt.Sprintf("the claim cannot be taken on the bus yet: %v", k.fault)}
	}
	return Status{Claim: Claim{Prefix: k.config.Me.Prefix}, Waiting: "the claim is looked for"}
}

// asked takes note of how the registry answered.
func (k *Keeper) asked(err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault = err
	return err
}

// Step does what is due and returns when to call again. An *OwnedError, or an error of the
// store, ends the process; while the bus is away there is none.
func (k *Keeper) Step(ctx context.Context) (again time.Duration, err error) {
	k.mu.Lock()
	owner := k.claim != nil
	k.mu.Unlock()
	if owner {
		if err := k.confirm(ctx); err != nil {
			return 0, err
		}
		return k.config.Every, k.calm(ctx)
	}
	if k.owned.Store == "" {
		if k.owned, err = k.config.Memory.Owned(ctx); err != nil {
			return 0, fmt.Errorf("read the store's claim: %w", err)
		}
	}
	entry, err := k.config.Registry.Read(ctx)
	if k.asked(err) != nil {
		return retry, nil //nolint:nilerr // it is asked again
	}
	return k.seek(ctx, entry)
}

// retry is when a bus that did not answer is asked again.
const retry = time.Second

// seek decides by what the registry holds whether the claim can be made now.
func (k *Keeper) seek(ctx context.Context, entry Entry) (again time.Duration, err error) {
	c, me := entry.Claim, &k.config.Me
	ours := c != nil && c.Store == k.owned.Store && (c.Incarnation == k.owned.Incarnation || c.Incarnation == k.owned.Before)
	here := ours && c.Boot == me.Boot && c.File == me.File && c.Boot != "" && c.File != ""
	switch {
	case c == nil && (k.owned.Number == 0 || k.config.Alone):
		return k.take(ctx, entry, false)
	case c == nil: // a running owner may be about to make it again
	case here && k.config.TakeOver: // participants may know of a later claim than the bus
		return k.take(ctx, entry, false)
	case here, ours && c.Incarnation == me.Incarnation:
		// It is this process's, which did not learn that it was written; or that of one which had
		// this file: the lock on it says that it is dead.
		return k.write(ctx, entry, max(c.Number, k.owned.Number), false)
	case !c.Released.IsZero(), k.config.Alone:
		return k.take(ctx, entry, false)
	case k.config.TakeOver:
		return k.take(ctx, entry, true)
	case c.Store != k.owned.Store:
		return 0, k.refused(entry, "it is not this one")
	case !ours:
		return 0, k.refused(entry, "it is an older copy of it, since another process has had the claim meanwhile")
	}
	now := k.config.Clock()
	switch w := k.waiting; {
	case w != nil && c != nil && w.entry != nil && (w.entry.Pulse != entry.Pulse || w.entry.At.Sequence != entry.At.Sequence):
		return 0, k.refused(entry, "its owner is alive, so this one is a copy of it")
	case w == nil || (w.entry == nil) != (c == nil):
		k.waiting = &wait{since: now}
		if c != nil {
			k.waiting.entry = &entry
		}
		k.mu.Lock()
		k.other = c
		k.mu.Unlock()
	case now-w.since >= 2*k.config.Bound:
		return k.take(ctx, entry, c != nil)
	}
	return retry, nil
}

func (k *Keeper) refused(entry Entry, why string) error {
	e := &OwnedError{Claim: *entry.Claim, Ours: k.owned, Reason: why}
	if k.waiting != nil {
		e.Heard = k.config.Now()
	}
	return e
}

// take makes a claim of its own. alive: whoever has one may still send.
func (k *Keeper) take(ctx context.Context, entry Entry, alive bool) (time.Duration, error) {
	number := k.owned.Number
	if entry.Claim != nil {
		number = max(number, entry.Claim.Number)
	}
	// Both may have forgotten: the bus what it held, and the store what came after its backup.
	// What participants remember has to be older all the same, and nobody else's.
	number = max(number+1+k.stride(), uint64(max(k.config.Now().UnixMicro(), 0)))
	return k.write(ctx, entry, number, alive)
}

// stride keeps two owners apart that count on from the same number, because their clocks are
// behind it and the bus has forgotten the one for the other: less than 2^20, different for
// each store and process.
func (k *Keeper) stride() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(k.owned.Store + " " + k.config.Me.Incarnation)) // never fails
	return h.Sum64() % (1 << 20)
}

func (k *Keeper) write(ctx context.Context, entry Entry, number uint64, alive bool) (time.Duration, error) {
	// What the claim before was contested by may still be there, whoever had that.
	alive = !k.config.Alone && (alive || entry.Claim != nil && entry.Claim.Contested)
	claim := k.config.Me
	claim.Contested = alive
	claim.Store, claim.Number, claim.Since, claim.Released, claim.TakenFrom = k.owned.Store, number, k.config.Now(), time.Time{}, ""
	if entry.Claim != nil && entry.Claim.Store != claim.Store {
		claim.TakenFrom = entry.Claim.Store
	}
	remembered := Owned{Store: k.owned.Store, Number: number, Incarnation: claim.Incarnation}
	if entry.Claim != nil && entry.Claim.Store == claim.Store {
		remembered.Before = entry.Claim.Incarnation
	}
	if k.owned != remembered {
		if err := k.config.Memory.Own(ctx, remembered); err != nil {
			return 0, fmt.Errorf("remember the claim: %w", err)
		}
		k.owned = remembered
	}
	began, last := k.config.Clock(), k.config.Now()
	at, err := k.config.Registry.Write(ctx, &claim, entry.At)
	if k.asked(err) != nil {
		return retry, nil //nolint:nilerr // the next look finds who has it: this process perhaps, if it was written all the same
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.claim, k.at, k.other, k.waiting = &claim, at, nil, nil
	k.sure, k.last = began+k.config.Bound, last
	k.waitForOthers()
	return k.config.Every, nil
}

// waitForOthers gives whoever had a contested claim before the time to notice, unless the bus
// takes nothing of it. k.mu is held.
func (k *Keeper) waitForOthers() {
	if k.claim.Contested && !k.config.Registry.Fences() {
		k.quiet = k.config.Clock() + 2*k.config.Bound
	}
}

// calm takes out of the claim that it is contested, once that is over.
func (k *Keeper) calm(ctx context.Context) error {
	k.mu.Lock()
	now := k.config.Clock()
	due := k.claim.Contested && now < k.sure && now >= k.quiet
	claim, at := *k.claim, k.at
	k.mu.Unlock()
	if !due {
		return nil
	}
	claim.Contested = false
	at, err := k.config.Registry.Write(ctx, &claim, at)
	if errors.Is(err, ErrMoved) {
		at, err = k.again(ctx, &claim) // it is where an earlier write has put it, whose answer was lost
	}
	if _, replaced := errors.AsType[*OwnedError](err); replaced {
		return err
	}
	if k.asked(err) != nil {
		return nil //nolint:nilerr // the next confirmation finds what became of it
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.claim, k.at = &claim, at
	return nil
}

func same(a, b *Claim) bool {
	return a != nil && a.Store == b.Store && a.Number == b.Number && a.Incarnation == b.Incarnation
}

// confirm shows that we are alive, and learns whether the claim is still ours.
func (k *Keeper) confirm(ctx context.Context) error {
	k.mu.Lock()
	claim, at := k.claim, k.at
	k.mu.Unlock()
	k.began()
	began, last := k.config.Clock(), k.config.Now()
	err := k.config.Registry.Confirm(ctx, at)
	if errors.Is(err, ErrMoved) {
		at, err = k.again(ctx, claim)
	}
	if _, replaced := errors.AsType[*OwnedError](err); replaced {
		return err
	}
	if k.asked(err) != nil {
		return nil //nolint:nilerr // unsure once the last confirmation is old enough
	}
	k.confirmed()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at, k.sure, k.last = at, began+k.config.Bound, last
	return nil
}

// again looks what became of our claim, and makes it again if the bus has lost it: also in the
// place of an earlier one, whose owner was quicker after that. Participants that know of ours
// take nothing under that any more.
func (k *Keeper) again(ctx context.Context, claim *Claim) (Position, error) {
	entry, err := k.config.Registry.Read(ctx)
	switch {
	case err != nil:
		return Position{}, err
	case entry.Claim == nil, same(entry.Claim, claim): // it is lost, or what its owner is known by is
		return k.config.Registry.Write(ctx, claim, entry.At) // moved: somebody was quicker, who is found at the next confirmation
	case entry.Claim.Number < claim.Number:
		return k.oust(ctx, claim, entry.At)
	}
	return Position{}, k.replaced(entry.Claim)
}

// oust makes our claim again in the place of another store's.
func (k *Keeper) oust(ctx context.Context, claim *Claim, over Position) (at Position, err error) {
	contested := *claim
	contested.Contested = !k.config.Alone
	k.mu.Lock()
	k.claim = &contested
	k.quiet = k.config.Clock() + 2*k.config.Bound // until it is known
	k.mu.Unlock()
	if at, err = k.config.Registry.Write(ctx, &contested, over); err != nil {
		return at, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.quiet = 0
	k.waitForOthers()
	return at, nil
}

func (k *Keeper) replaced(by *Claim) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sure, k.taken = 0, by
	return &OwnedError{Claim: *by, Ours: k.owned, Reason: "what it has accepted or moved since its claim was last confirmed may have been decided differently there", Replaced: true, Since: k.last}
}

// Check asks now whether the claim is still ours, before something that another owner would
// do too. An error: it is not, or it cannot be known.
func (k *Keeper) Check(ctx context.Context) error {
	k.mu.Lock()
	claim := k.claim
	k.mu.Unlock()
	if claim == nil {
		return errors.New("this store has no claim")
	}
	entry, err := k.config.Registry.Read(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read the claim: %w", err)
	case entry.Claim == nil:
		return errors.New("the bus holds no claim; it is recreated in a moment")
	case !same(entry.Claim, claim):
		return k.replaced(entry.Claim)
	}
	return nil
}

// Release gives the claim up in order, so that nobody has to wait for silence.
func (k *Keeper) Release(ctx context.Context) error {
	k.mu.Lock()
	claim := k.claim
	k.claim = nil
	k.mu.Unlock()
	if claim == nil {
		return nil
	}
	entry, err := k.config.Registry.Read(ctx)
	if err == nil && same(entry.Claim, claim) {
		released := *claim
		released.Released = k.config.Now()
		_, err = k.config.Registry.Write(ctx, &released, entry.At)
	}
	if err != nil {
		return fmt.Errorf("release the claim: %w", err)
	}
	return nil
}
