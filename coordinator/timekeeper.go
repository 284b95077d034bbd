package coordinator

import (
	"context"
	"sync"
	"time"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store"
)

// Bounds of the timekeeper.
const (
	// wakeBatch bounds the sagas that are woken together.
	wakeBatch = 1024
	// wakeGrain is the shortest time between two looks at the store's timers: how
	// late a wake-up may be on account of batching.
	wakeGrain = 5 * time.Millisecond
	// wakeLook is the longest time between two looks: what bounds the lateness of
	// timers that another coordinator has set.
	wakeLook = time.Second
)

// timekeeper wakes sagas when they are due. The store's timer index is the
// truth; the timekeeper only knows when to look next.
type timekeeper struct {
	store store.Store
	clock func() time.Time
	send  func(ctx context.Context, w work) error

	mu      sync.Mutex
	next    time.Time        // earliest time at which something may be due; zero: unknown, look
	pending map[saga.ID]bool // woken, not yet committed
	nudge   chan struct{}    // capacity 1: next became earlier
}

func newTimekeeper(s store.Store, clock func() time.Time, send func(context.Context, work) error) *timekeeper {
	return &timekeeper{store: s, clock: clock, send: send, pending: map[saga.ID]bool{}, nudge: make(chan struct{}, 1)}
}

// expect says that a saga wants to be woken at the given time; zero: it does not.
func (t *timekeeper) expect(at time.Time) {
	if at.IsZero() {
		return
	}
	t.mu.Lock()
	earlier := t.next.IsZero() || at.Before(t.next)
	if earlier {
		t.next = at
	}
	t.mu.Unlock()
	if earlier {
		select {
		case t.nudge <- struct{}{}:
		default:
		}
	}
}

// again forgets what was woken and could not be moved, so that it is tried once
// more: something was mended.
func (t *timekeeper) again() {
	t.mu.Lock()
	clear(t.pending)
	t.mu.Unlock()
	t.expect(t.clock())
}

// done says that a wake-up has been committed or found needless.
func (t *timekeeper) done(id saga.ID) {
	t.mu.Lock()
	delete(t.pending, id)
	t.mu.Unlock()
}

func (t *timekeeper) run(ctx context.Context) error {
	for {
		if err := t.look(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if !t.sleep(ctx) {
			return nil
		}
	}
}

// look wakes everything that is due.
func (t *timekeeper) look(ctx context.Context) error {
	t.mu.Lock()
	t.next = time.Time{}
	t.mu.Unlock()
	now := t.clock()
	ids, next, err := t.store.Due(ctx, now, wakeBatch)
	if err != nil {
		return err
	}
	crashpoint.Here("coordinator: timers read")
	sent := 0
	for _, id := range ids {
		t.mu.Lock()
		known := t.pending[id]
		t.pending[id] = true
		t.mu.Unlock()
		if known {
			continue
		}
		w := work{timer: true, input: Input{Saga: id, Event: saga.Event{Type: saga.Woke, At: now}}}
		if err := t.send(ctx, w); err != nil {
			t.done(id)
			return err
		}
		sent++
		crashpoint.Here("coordinator: wake-up routed")
	}
	if sent > 0 { // there may be more, and these have to be committed first
		next = now.Add(wakeGrain)
	}
	t.expect(next)
	return nil
}

// sleep waits until something may be due, at least wakeGrain and at most
// wakeLook. It reports whether to go on.
func (t *timekeeper) sleep(ctx context.Context) bool {
	for {
		t.mu.Lock()
		wait := wakeLook
		if !t.next.IsZero() {
			wait = min(max(t.next.Sub(t.clock()), wakeGrain), wakeLook)
		}
		t.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
			return true
		case <-t.nudge:
			timer.Stop()
		}
	}
}
