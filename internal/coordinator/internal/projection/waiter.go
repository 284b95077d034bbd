package projection

import (
	"time"

	"github.com/amends-dev/amends/contract"
)

// MaxWaiters bounds the waiters at any time, and MaxWaitersPerCaller the waiters of one caller
// (I10).
const (
	MaxWaiters          = 150_000
	MaxWaitersPerCaller = 100_000
)

// Waiter waits for a saga to come to rest. It is either answered or removed, never both.
type Waiter struct {
	part   *Part
	saga   contract.SagaID
	caller string
	answer func(*Change)
	timer  *time.Timer // ends the wait; nil until Hold
	gone   bool        // whether it was answered or removed
}

// notice is an answer to be sent to a waiter. change is nil if the projection closes.
type notice struct {
	waiter *Waiter
	change *Change
}

// Wait registers a waiter. Unless moving is true, the caller must read the saga's state afterwards.
// answer is called once: with the change that brings the saga to rest, or with nil when the
// projection closes. It may be called before Wait returns, on the goroutine that applies the
// change. moving means that the saga is known not to be at rest. w is nil if there are too many
// waiters or the projection is closed.
func (p *Projection) Wait(id contract.SagaID, caller string, answer func(*Change)) (w *Waiter, moving bool) {
	if p.quota.Take(caller) != nil {
		return nil, false
	}
	pt := p.Of(id)
	w = &Waiter{part: pt, saga: id, caller: caller, answer: answer}
	p.waiting.Add(1)
	pt.mu.Lock()
	closed := pt.closed
	if !closed {
		pt.waiters[id] = append(pt.waiters[id], w)
		moving = pt.standings.moving(id) != nil
	}
	pt.mu.Unlock()
	if closed {
		p.left(w)
		return nil, false
	}
	return w, moving
}

// Waiting returns the number of waiters.
func (p *Projection) Waiting() int { return int(p.waiting.Load()) }

// Hold calls f after d, unless the waiter has been answered or removed by then.
func (w *Waiter) Hold(d time.Duration, f func()) {
	w.part.mu.Lock()
	defer w.part.mu.Unlock()
	if !w.gone {
		w.timer = time.AfterFunc(d, f)
	}
}

// Remove removes the waiter and reports whether it was still registered. The caller may answer only
// if Remove returns true.
func (w *Waiter) Remove() bool {
	pt := w.part
	pt.mu.Lock()
	there := !w.gone
	if there {
		list := pt.waiters[w.saga]
		for i := range list {
			if list[i] == w {
				list[i] = list[len(list)-1]
				list[len(list)-1] = nil
				list = list[:len(list)-1]
				break
			}
		}
		if pt.waiters[w.saga] = list; len(list) == 0 {
			delete(pt.waiters, w.saga)
		}
		w.drop()
	}
	pt.mu.Unlock()
	if there {
		pt.p.left(w)
	}
	return there
}

// drop ends the wait. The caller holds the part's lock.
func (w *Waiter) drop() {
	w.gone = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// release removes all waiters of a saga, and appends a notice of the change for each. The caller
// holds the lock.
func (pt *Part) release(c *Change, told []notice) []notice {
	list := pt.waiters[c.Saga]
	delete(pt.waiters, c.Saga)
	for _, w := range list {
		w.drop()
		told = append(told, notice{w, c})
	}
	return told
}

// tell answers waiters that have been removed.
func (p *Projection) tell(told []notice) {
	for i := range told {
		p.left(told[i].waiter)
		told[i].waiter.answer(told[i].change)
	}
}

// left gives a waiter's slot back to the quota.
func (p *Projection) left(w *Waiter) {
	p.waiting.Add(-1)
	p.quota.Give(w.caller)
}
