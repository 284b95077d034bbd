package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// MaxDefinitions bounds the registered definitions, including all versions (I10). Further
// registrations are refused.
const MaxDefinitions = 10_000

// ErrUnknownDefinition means that a definition or version is not registered.
var ErrUnknownDefinition = errors.New("unknown definition")

// registerIt explains how to fix ErrUnknownDefinition.
const registerIt = "register it with: coordinator definition apply FILE"

// ErrTooManyDefinitions means that MaxDefinitions definitions are registered already.
var ErrTooManyDefinitions = errors.New("too many definitions")

// definitions holds the registered definitions in memory; the store has the same ones.
type definitions struct {
	store  store.Store
	mu     sync.RWMutex
	byRef  map[contract.DefinitionRef]*saga.Definition
	newest map[string]int

	participants map[contract.DefinitionRef][]outbox.Destination // the participants that every saga needs until it completes

	loaded atomic.Bool        // whether the stored definitions have been read
	early  []*saga.Definition // registered before the stored definitions were read

	compiled []*saga.Definition // known to the caller, and used if the store has the same

	unusable []error // why stored definitions were skipped
}

func newDefinitions(s store.Store) *definitions {
	return &definitions{store: s, byRef: map[contract.DefinitionRef]*saga.Definition{}, newest: map[string]int{}, participants: map[contract.DefinitionRef][]outbox.Destination{}}
}

// load reads the stored definitions, and stores the definitions that were registered before.
func (d *definitions) load(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	all, err := d.store.Definitions(ctx)
	if err != nil {
		return fmt.Errorf("read the definitions: %w", err)
	}
	for _, stored := range all {
		def, err := d.read(stored)
		if err != nil {
			d.unusable = append(d.unusable, fmt.Errorf("definition %s: %w", stored.Ref, err))
			continue
		}
		d.add(def)
	}
	for _, def := range d.early {
		if err := d.put(ctx, def); err != nil {
			return err
		}
	}
	d.early = nil
	d.loaded.Store(true)
	return nil
}

// starting reports whether the stored definitions have not been read yet.
func (d *definitions) starting() bool {
	return !d.loaded.Load() // without the lock, which load holds while it reads
}

// read returns a stored definition. If one with the same JSON was given, it is not compiled again.
func (d *definitions) read(stored store.Definition) (*saga.Definition, error) {
	for _, given := range [][]*saga.Definition{d.early, d.compiled} {
		for _, def := range given {
			if def.Ref() != stored.Ref || def.Fingerprint() != stored.Fingerprint {
				continue
			}
			if data, err := def.MarshalJSON(); err == nil && bytes.Equal(data, stored.JSON) {
				return def, nil
			}
		}
	}
	return readDefinition(stored)
}

// readDefinition validates a stored definition again. It returns an error if this release rejects
// the definition, or if its fingerprint has changed.
func readDefinition(stored store.Definition) (*saga.Definition, error) {
	def, err := saga.ParseJSON(stored.JSON)
	if err != nil {
		return nil, err
	}
	if def.Ref() != stored.Ref || def.Fingerprint() != stored.Fingerprint {
		return nil, fmt.Errorf("the stored JSON is of %s and has the fingerprint %s, but the definition was registered with the fingerprint %.64q", def.Ref(), def.Fingerprint(), stored.Fingerprint)
	}
	return def, nil
}

func (d *definitions) add(def *saga.Definition) {
	ref := def.Ref()
	d.byRef[ref] = def
	d.newest[ref.Name] = max(d.newest[ref.Name], ref.Version)
	var needed []outbox.Destination
	for i := range def.Len() {
		if to := outbox.Destination(def.Step(i).Do.Participant); !slices.Contains(needed, to) {
			needed = append(needed, to)
		}
	}
	d.participants[ref] = needed
}

// register stores a definition. Before load it only queues the definition, and returns false.
func (d *definitions) register(ctx context.Context, def *saga.Definition) (stored bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.loaded.Load() {
		d.early = append(d.early, def)
		return false, nil
	}
	return true, d.put(ctx, def)
}

// put stores a definition. Storing the same content again has no effect. The caller holds the lock.
func (d *definitions) put(ctx context.Context, def *saga.Definition) error {
	if known := d.byRef[def.Ref()]; known != nil && known.Fingerprint() == def.Fingerprint() {
		return nil
	}
	if len(d.byRef) >= MaxDefinitions {
		return fmt.Errorf("register %s: %w: at most %d are allowed", def.Ref(), ErrTooManyDefinitions, MaxDefinitions)
	}
	stored, err := store.DefinitionOf(def)
	if err == nil {
		err = d.store.PutDefinition(ctx, stored)
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", def.Ref(), err)
	}
	d.add(def)
	return nil
}

// has reports whether a definition is registered with the same content.
func (d *definitions) has(def *saga.Definition) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	known := d.byRef[def.Ref()]
	return known != nil && known.Fingerprint() == def.Fingerprint()
}

// takes returns the error that register would return for a definition.
func (d *definitions) takes(def *saga.Definition) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	known := d.byRef[def.Ref()]
	switch {
	case known != nil && known.Fingerprint() != def.Fingerprint():
		return &store.DefinitionConflictError{Definition: def.Ref(), Registered: known.Fingerprint(), Given: def.Fingerprint()}
	case known == nil && len(d.byRef) >= MaxDefinitions:
		return fmt.Errorf("register %s: %w: at most %d are allowed", def.Ref(), ErrTooManyDefinitions, MaxDefinitions)
	}
	return nil
}

// isNewest reports whether no later version of a definition is registered.
func (d *definitions) isNewest(ref contract.DefinitionRef) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.newest[ref.Name] <= ref.Version
}

// known returns the definition with exactly this name and version, or nil.
func (d *definitions) known(ref contract.DefinitionRef) *saga.Definition {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byRef[ref]
}

// plan returns the plan of the definition with exactly this name and version, or nil.
func (d *definitions) plan(ref contract.DefinitionRef) *machine.Plan {
	if def := d.known(ref); def != nil {
		return def.Plan()
	}
	return nil
}

// find returns a definition; version 0 selects the newest.
func (d *definitions) find(ref contract.DefinitionRef) (*saga.Definition, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	newest, known := d.newest[ref.Name]
	if ref.Version == 0 {
		ref.Version = newest
	}
	if def := d.byRef[ref]; def != nil {
		return def, nil
	}
	if known {
		return nil, fmt.Errorf("%w: %s is registered, but not version %d; the newest is %d: %s", ErrUnknownDefinition, ref.Name, ref.Version, newest, registerIt)
	}
	return nil, fmt.Errorf("%w: %q is not registered: %s", ErrUnknownDefinition, brief(ref.Name), registerIt)
}

// all returns every definition, sorted by name and version.
func (d *definitions) all() []*saga.Definition {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]*saga.Definition, 0, len(d.byRef))
	for _, def := range d.byRef {
		out = append(out, def)
	}
	slices.SortFunc(out, func(a, b *saga.Definition) int {
		if c := strings.Compare(a.Ref().Name, b.Ref().Name); c != 0 {
			return c
		}
		return a.Ref().Version - b.Ref().Version
	})
	return out
}

// needed returns the participants that every saga of a definition needs until it completes.
func (d *definitions) needed(ref contract.DefinitionRef) []outbox.Destination {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if ref.Version == 0 {
		ref.Version = d.newest[ref.Name]
	}
	return d.participants[ref]
}

// participantCount returns the number of participants that the definitions need.
func (d *definitions) participantCount() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := map[outbox.Destination]bool{}
	for _, needed := range d.participants {
		for _, to := range needed {
			all[to] = true
		}
	}
	return len(all)
}
