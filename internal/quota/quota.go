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
	held  map[string]int // by caller; callers with 0 are removed
}

// New returns a Quota with a total limit and a limit per caller. With each 0, a caller may
// have as many as are free, so that one alone gets half, and others still get in.
func New(all, each int) *Quota {
	return &Quota{all: all, each: each, held: map[string]int{}}
}

// Take counts one more for a caller, to be returned with Give, or returns ErrAll or
// ErrEach.
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

// Give returns what Take counted.
func (q *Quota) Give(caller string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	if q.held[caller]--; q.held[caller] == 0 {
		delete(q.held, caller)
	}
}
