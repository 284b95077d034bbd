package pool

import (
	"sync"
	"sync/atomic"
)

// Of holds unused values of one type. It is safe for concurrent use.
type Of[T any] struct {
	values sync.Pool
	fresh  func() *T
	reset  func(*T)
}

// New returns an empty pool. fresh returns a new value. reset removes everything from a value that
// the next user must not see, above all references to other data.
func New[T any](fresh func() *T, reset func(*T)) *Of[T] { return &Of[T]{fresh: fresh, reset: reset} }

// Get returns an unused value, or a new one.
func (p *Of[T]) Get() *T {
	if v, ok := p.values.Get().(*T); ok && !off.Load() {
		return v
	}
	return p.fresh()
}

// Put returns a value to the pool. The caller must not use it afterwards.
func (p *Of[T]) Put(v *T) {
	p.reset(v)
	p.values.Put(v)
}

var off atomic.Bool

// Without calls f while all pools return new values only. It is for tests that compare what pools
// must not change.
func Without(f func()) {
	off.Store(true)
	defer off.Store(false)
	f()
}
