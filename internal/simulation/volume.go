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

// volume is a data directory, which survives its processes and can be copied. It also holds the
// audit of these processes.
type volume struct {
	name  string
	store *memstore.Store
	owned ownership.SavedClaim
	audit *audit
}

// newVolume returns an empty volume.
func (w *world) newVolume(name string) *volume {
	v := &volume{name: name, store: memstore.New(), owned: ownership.SavedClaim{Store: name}}
	v.audit = newAudit(w, v)
	for _, def := range w.definitions {
		stored, err := store.DefinitionOf(def)
		if err == nil {
			err = v.store.PutDefinition(w.ctx, stored)
		}
		if err != nil {
			panic(err) // a new in-memory store does not fail
		}
	}
	return v
}

// copyOf returns a copy of the volume as it is now, without a name.
func (w *world) copyOf(from *volume) *volume {
	v := &volume{store: from.store.Copy(), owned: from.owned}
	v.audit = from.audit.copy(v)
	return v
}

// copy returns the audit of a copy of the volume. It knows all that the original audit knows.
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

// look returns a saga's state, or nil if the saga does not exist.
func (v *volume) look(id contract.SagaID) *machine.Instance {
	in, err := v.store.Load(context.Background(), id)
	if err != nil {
		return nil
	}
	return in
}

// free reports whether an id can be used for a start: neither a saga nor a tombstone has it.
func (v *volume) free(id contract.SagaID) bool {
	_, err := v.store.Load(context.Background(), id)
	return errors.Is(err, store.ErrNotFound)
}
