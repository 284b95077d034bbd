package projection

import (
	"cmp"
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
)

// MaxBlocked bounds the blocked sagas that are remembered, across all parts (I10).
const MaxBlocked = 1000

// obstacle holds the reason why a saga cannot make progress.
type obstacle struct {
	since time.Time
	err   error
}

// Blocked describes a saga that cannot make progress until an operator has fixed the cause.
type Blocked struct {
	Saga  contract.SagaID
	Since time.Time // when it was found to be blocked
	Err   error
}

// Block records that a saga cannot make progress. It returns true if that was not known yet and
// there was room to record it. A later change of the saga removes the record.
func (pt *Part) Block(id contract.SagaID, err error, now time.Time) (news bool) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	one, known := pt.blocked[id]
	if !known {
		if pt.p.blocked.Add(1) > MaxBlocked {
			pt.p.blocked.Add(-1)
			return false
		}
		one.since = now
	}
	one.err = err
	pt.blocked[id] = one
	pt.standings.forget(id)
	return !known
}

// unblock removes a saga's record. The caller holds the lock.
func (pt *Part) unblock(id contract.SagaID) {
	if len(pt.blocked) == 0 {
		return
	}
	if _, known := pt.blocked[id]; known {
		delete(pt.blocked, id)
		pt.p.blocked.Add(-1)
	}
}

// UnblockAll removes the records of blocked sagas whose error may be fixed. Sagas that are still
// blocked will be found again.
func (p *Projection) UnblockAll(fixed func(error) bool) {
	for _, pt := range p.parts {
		pt.mu.Lock()
		for id, one := range pt.blocked {
			if fixed(one.err) {
				pt.unblock(id)
			}
		}
		pt.mu.Unlock()
	}
}

// BlockedCount returns the number of sagas known to be blocked.
func (p *Projection) BlockedCount() int { return int(p.blocked.Load()) }

// IsBlocked reports whether a saga is known to be blocked.
func (p *Projection) IsBlocked(id contract.SagaID) bool {
	pt := p.Of(id)
	pt.mu.Lock()
	defer pt.mu.Unlock()
	_, known := pt.blocked[id]
	return known
}

// Blocked returns the sagas known to be blocked, sorted by the time when they were found.
func (p *Projection) Blocked() []Blocked {
	var all []Blocked
	for _, pt := range p.parts {
		pt.mu.Lock()
		for id, one := range pt.blocked {
			all = append(all, Blocked{id, one.since, one.err})
		}
		pt.mu.Unlock()
	}
	slices.SortFunc(all, func(x, y Blocked) int {
		return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.Saga, y.Saga))
	})
	return all
}
