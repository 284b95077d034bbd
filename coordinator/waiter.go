package coordinator

import (
	"errors"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/quota"
)

// MaxWaiters bounds the wait requests that are held at once, MaxWaitersPerCaller those of
// one caller (I10). Beyond them where the saga stands is answered at once, and the caller
// asks again.
const (
	MaxWaiters          = 150_000
	MaxWaitersPerCaller = 100_000
)

// waiters are the callers that wait for a saga to end or to be parked.
type waiters struct {
	mu     sync.Mutex
	byID   map[contract.SagaID][]*waiter
	quota  *quota.Quota
	length int
	closed bool
}

type waiter struct {
	caller string
	answer func(*Result)
	timer  *time.Timer // ends the wait; nil until hold
}

func newWaiters() *waiters {
	return &waiters{byID: map[contract.SagaID][]*waiter{}, quota: quota.New(MaxWaiters, MaxWaitersPerCaller)}
}

// count is the number of wait requests that are held.
func (w *waiters) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.length
}

// add registers a caller's waiter. It returns nil when there are too many.
func (w *waiters) add(id contract.SagaID, caller string, answer func(*Result)) *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.quota.Take(caller) != nil {
		return nil
	}
	one := &waiter{caller: caller, answer: answer}
	w.byID[id] = append(w.byID[id], one)
	w.length++
	return one
}

// hold calls f after d unless the waiter is answered or removed before.
func (w *waiters) hold(one *waiter, d time.Duration, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one.timer = time.AfterFunc(d, f)
}

// remove takes a waiter off, and reports whether it was still there: only then
// may its request be answered by the caller of remove.
func (w *waiters) remove(id contract.SagaID, one *waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.byID[id]
	for i, other := range list {
		if other != one {
			continue
		}
		list[i] = list[len(list)-1]
		w.byID[id] = list[:len(list)-1]
		if len(list) == 1 {
			delete(w.byID, id)
		}
		w.drop(one)
		return true
	}
	return false
}

// notify answers everybody who waits for this saga.
func (w *waiters) notify(r *Result) {
	w.mu.Lock()
	list := w.byID[r.Instance.ID]
	delete(w.byID, r.Instance.ID)
	for _, one := range list {
		w.drop(one)
	}
	w.mu.Unlock()
	for _, one := range list {
		one.answer(r)
	}
}

// errStopping answers those who wait while the coordinator ends.
var errStopping = errors.New("the coordinator is stopping; ask again")

// close tells everybody who waits to ask again, here or elsewhere: without a word
// they would do so only when their own deadline passes.
func (w *waiters) close() {
	w.mu.Lock()
	crashpoint.Here("coordinator: stopping, all sent")
	w.closed = true
	left := w.byID
	w.byID = map[contract.SagaID][]*waiter{}
	for _, list := range left {
		for _, one := range list {
			w.drop(one)
		}
	}
	w.mu.Unlock()
	for _, list := range left {
		for _, one := range list {
			one.answer(&Result{Err: errStopping})
		}
	}
}

// drop ends what a waiter takes up. Called with the lock held.
func (w *waiters) drop(one *waiter) {
	w.length--
	w.quota.Give(one.caller)
	if one.timer != nil {
		one.timer.Stop()
	}
}
