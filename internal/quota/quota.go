package quota

import (
	"errors"
	"sync"
)

// Why something is not admitted.
var (
	ErrAll  = errors.New("quota: as many are under way as may be")
	ErrEach = errors.New("quota: as many of this caller's are under way as one may have")
)

// Quota counts what is under way. It is safe for concurrent use.
type Quota struct {
	all, each int

	mu    sync.Mutex
	total int
	held  map[string]int // by caller; nobody has 0
}

// New returns a Quota of all at once. each is what one caller may have of them; 0: as
// many as the others leave free, so that one alone has half, and a newcomer gets in.
func New(all, each int) *Quota {
	return &Quota{all: all, each: each, held: map[string]int{}}
}

// Take admits one thing more of a caller, to be given back with Give, or returns ErrAll
// or ErrEach.
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

// Give ends one thing of a caller that was admitted.
func (q *Quota) Give(caller string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	if q.held[caller]--; q.held[caller] == 0 {
		delete(q.held, caller)
	}
}
