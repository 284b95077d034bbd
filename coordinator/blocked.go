package coordinator

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

const (
	// MaxBlocked bounds the blocked sagas that a coordinator keeps in mind (I10).
	MaxBlocked = 1000
	// maxListed bounds those that an overview names.
	maxListed = 20
)

// blocked is the sagas that cannot be moved until somebody has fixed what they
// need: their record is damaged, or their definition is gone. They are met again
// after a restart, when they are due or an event for them comes. The zero blocked
// is none.
type blocked struct {
	count atomic.Int64 // of sagas: nobody locks to find that there is none
	mu    sync.Mutex
	sagas map[contract.SagaID]obstacle
}

// obstacle is why a saga cannot be moved.
type obstacle struct {
	since time.Time
	err   error
}

// blocks reports whether err is of a saga that exists and cannot be moved until
// somebody has fixed the store, or registered its definition.
func blocks(err error, event contract.EventType) bool {
	return errors.Is(err, store.ErrCorrupt) || errors.Is(err, ErrUnknownDefinition) && event != contract.EventStarted
}

// add takes note that a saga could not be moved, and reports whether that is news: it
// was not known, and there was room for it.
func (b *blocked) add(id contract.SagaID, err error, now time.Time) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one, known := b.sagas[id]
	switch {
	case known:
		one.err = err
	case len(b.sagas) == MaxBlocked:
		return false
	default:
		one = obstacle{now, err}
	}
	if b.sagas == nil {
		b.sagas = map[contract.SagaID]obstacle{}
	}
	b.sagas[id] = one
	b.count.Store(int64(len(b.sagas)))
	return !known
}

// remove takes note that a saga could be read, and its definition found.
func (b *blocked) remove(id contract.SagaID) {
	if b.count.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sagas, id)
	b.count.Store(int64(len(b.sagas)))
}

// has reports whether a saga is known to be blocked.
func (b *blocked) has(id contract.SagaID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, known := b.sagas[id]
	return known
}

// defined forgets the sagas whose definition was gone: those for which that has not
// changed are met again.
func (b *blocked) defined() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, one := range b.sagas {
		if errors.Is(one.err, ErrUnknownDefinition) {
			delete(b.sagas, id)
		}
	}
	b.count.Store(int64(len(b.sagas)))
}

// list is the first ones, by the time they were met.
func (b *blocked) list() []transport.BlockedSaga {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []transport.BlockedSaga
	for id, one := range b.sagas {
		all = append(all, transport.BlockedSaga{Saga: string(id), Since: one.since.UTC(), Reason: one.err.Error()})
	}
	slices.SortFunc(all, func(x, y transport.BlockedSaga) int {
		return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.Saga, y.Saga))
	})
	return all[:min(len(all), maxListed)]
}
