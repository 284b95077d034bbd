package simulation

import (
	"context"
	"errors"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
)

// volume is a data directory: what survives the processes that have it, what can be copied,
// and what is known to have been done by them.
type volume struct {
	name  string
	store *memstore.Store
	owned ownership.SavedClaim
	audit *audit
}

// newVolume is an empty one.
func (w *world) newVolume(name string) *volume {
	v := &volume{name: name, store: memstore.New(), owned: ownership.SavedClaim{Store: name}}
	v.audit = newAudit(w, v)
	for _, def := range w.definitions {
		stored, err := store.DefinitionOf(def)
		if err == nil {
			err = v.store.PutDefinition(w.ctx, stored)
		}
		if err != nil {
			panic(err) // a store in memory that is new
		}
	}
	return v
}

// copyOf is a copy of the directory as it is now, without a name.
func (w *world) copyOf(from *volume) *volume {
	v := &volume{store: from.store.Copy(), owned: from.owned}
	v.audit = from.audit.copy(v)
	return v
}

// copy is what is known of a copy of the directory: all that is known of the original.
func (a *audit) copy(v *volume) *audit {
	b := newAudit(a.w, v)
	same := map[*account]*account{}
	for who, acc := range a.sagas {
		twin := *acc
		twin.steps, twin.never, twin.answered, twin.moved = slices.Clone(acc.steps), slices.Clone(acc.never), slices.Clone(acc.answered), slices.Clone(acc.moved)
		same[acc], b.sagas[who] = &twin, &twin
	}
	for id, runs := range a.runs {
		for _, acc := range runs {
			b.runs[id] = append(b.runs[id], same[acc])
		}
	}
	entries := map[*entry]*entry{}
	twin := func(d *entry) *entry {
		if entries[d] == nil {
			copied := *d
			copied.of = same[d.of]
			entries[d] = &copied
		}
		return entries[d]
	}
	for id, d := range a.entries {
		b.entries[id] = twin(d)
	}
	for id, d := range a.messages {
		b.messages[id] = twin(d)
	}
	return b
}

// look is where a saga stands; nil: nowhere.
func (v *volume) look(id contract.SagaID) *machine.Instance {
	in, err := v.store.Load(context.Background(), id)
	if err != nil {
		return nil
	}
	return in
}

// free reports whether an id can be started: no saga has it, and no tombstone.
func (v *volume) free(id contract.SagaID) bool {
	_, err := v.store.Load(context.Background(), id)
	return errors.Is(err, store.ErrNotFound)
}
