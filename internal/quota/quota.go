package quota

import (
	"errors"
	"sync"
)

// Errors of Take.
var (
	ErrAll  = errors.New("quota: the total limit is reached")
	ErrEach = errors.New("quota: the limit of this caller is reached")
)

// Quota counts work in progress. It is safe for concurrent use.
type Quota struct {
	all, each int

	mu    sync.Mutex
	total int
	held  map[string]int // by caller; callers without work in progress are removed
}

// New returns a Quota with a total limit and a limit per caller. If each is 0, a caller may have at
// most as much work in progress as is left for others. A single caller then gets half of the total.
func New(all, each int) *Quota {
	return &Quota{all: all, each: each, held: map[string]int{}}
}

// Take adds one to a caller's work in progress, or returns ErrAll or ErrEach. The caller must call
// Give afterwards.
func (q *Quota) Take(caller string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	each := q.each
	if each == 0 {
		each = q.all - q.total
	}
	switch {
	case q.total >= q.all:
		return ErrAll
	case q.held[caller] >= each:
		return ErrEach
	}
	q.total++
	q.held[caller]++
	return nil
}

// Give reverts one call of Take.
func (q *Quota) Give(caller string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	if q.held[caller]--; q.held[caller] == 0 {
		delete(q.held, caller)
	}
}
