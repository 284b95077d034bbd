package coordinator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// Limits of the timekeeper.
const (
	// wakeBatch bounds the sagas that are woken together.
	wakeBatch = 1024
	// wakeGrain is the shortest interval between two reads of the store's timers. Batching may
	// delay a wake-up by this much.
	wakeGrain = 5 * time.Millisecond
	// wakeLook is the longest interval between two reads. It bounds how late a timer that another
	// coordinator has set may fire.
	wakeLook = time.Second
)

// timekeeper wakes sagas when they are due. The timer index in the store is authoritative; the
// timekeeper only knows when to read it next.
type timekeeper struct {
	store store.Store
	stamp func() (time.Time, time.Duration)
	send  func(ctx context.Context, w work) error

	answered  *Answered              // set before run
	silence   *silence               // the tracker of answered; nil if the bus can report its content
	recovery  *recovery              // wraps the tracker of answered; nil if the bus has lost no answers
	looked    time.Time              // when it last read the timers
	notBefore time.Time              // earliest time of the next read
	stopped   atomic.Pointer[string] // why no timers run; nil if they run
	asked     time.Duration          // total by which the clock had been set at the last look
	held      atomic.Pointer[string] // what due timers are waiting for; nil if they do not wait

	mu      sync.Mutex
	next    time.Time                // when the next timer may be due; zero if unknown, then read soon
	pending map[contract.SagaID]bool // woken, but not committed yet
	nudge   chan struct{}            // capacity 1; signals that next is earlier than before
}

func newTimekeeper(s store.Store, stamp func() (time.Time, time.Duration), send func(context.Context, work) error) *timekeeper {
	t := &timekeeper{store: s, stamp: stamp, send: send, pending: map[contract.SagaID]bool{}, nudge: make(chan struct{}, 1)}
	why := "timers wait until the clock has been checked"
	t.stopped.Store(&why)
	return t
}

func (t *timekeeper) clock() time.Time {
	at, _ := t.stamp()
	return at
}

// expect records when a saga wants to be woken; zero means never.
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

// again forgets which sagas have been woken, so that sagas that could not make progress are tried
// again after a fix.
func (t *timekeeper) again() {
	t.mu.Lock()
	clear(t.pending)
	t.mu.Unlock()
	t.expect(t.clock())
}

// done records that a wake-up was committed or was not needed.
func (t *timekeeper) done(id contract.SagaID) {
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

// watch makes timers wait for the answers from a source, and, if there is a recovery, for the
// commands that were sent again.
func (t *timekeeper) watch(source transport.Source, received *atomic.Int64, gaveUp func()) {
	tracker, ok := source.(transport.Tracker)
	if !ok {
		t.silence = &silence{clock: t.clock, received: received}
		t.silence.begin()
		tracker = t.silence
	}
	if t.recovery != nil {
		t.recovery.behind, t.recovery.began = tracker, t.clock()
		tracker = t.recovery
	}
	t.answered = NewAnswered(tracker, gaveUp)
}

// look wakes all due sagas, once the answers that arrived earlier have been processed.
func (t *timekeeper) look(ctx context.Context) error {
	t.mu.Lock()
	t.next = time.Time{}
	t.mu.Unlock()
	if why := t.stopped.Load(); why != nil {
		t.held.Store(why) // cleared after goOn
		return ctx.Err()
	}
	now, total := t.stamp()
	now = now.Round(0) // drop the monotonic time, which stops while the machine sleeps
	if total != t.asked {
		t.asked = total
		t.answered.forget()
	}
	if t.silence != nil && !t.looked.IsZero() && now.Sub(t.looked) > wakeLook+lateTick {
		t.silence.begin()
	}
	t.looked = now
	ids, next, err := t.due(ctx, now)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		t.held.Store(nil)
		t.expect(next)
		return nil
	}
	until, err := t.answered.Until(ctx, now, time.Now())
	if err != nil || until.IsZero() {
		switch {
		case t.recovery != nil && !t.recovery.over:
			t.hold("timers wait until the commands that were sent again after the start have been answered", askPause)
		case err != nil:
			t.hold(fmt.Sprintf("timers wait until the bus reports whether answers have arrived: %v", err), awayPause)
		default:
			t.hold("timers wait until the answers on the bus have been received", askPause)
		}
		t.expect(now)
		return ctx.Err()
	}
	t.held.Store(nil)
	if until.Before(now) {
		if ids, next, err = t.due(ctx, until); err != nil {
			return err
		}
	}
	return t.wake(ctx, ids, until, next, total)
}

// due returns the sagas that are due and not woken yet.
func (t *timekeeper) due(ctx context.Context, at time.Time) (ids []contract.SagaID, next time.Time, err error) {
	if ids, next, err = t.store.Due(ctx, at, wakeBatch); err != nil {
		return nil, next, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(ids, func(id contract.SagaID) bool { return t.pending[id] }), next, nil
}

// goOn starts the timers, if they are stopped.
func (t *timekeeper) goOn() {
	if t.stopped.Swap(nil) != nil {
		t.expect(t.clock())
	}
}

// hold records why no timers fire, and delays the next read of due timers by pause.
func (t *timekeeper) hold(why string, pause time.Duration) {
	t.held.Store(&why)
	t.notBefore = time.Now().Add(pause)
}

// wake wakes the sagas that were due at the given time.
func (t *timekeeper) wake(ctx context.Context, ids []contract.SagaID, at, next time.Time, total time.Duration) error {
	for _, id := range ids {
		t.mu.Lock()
		t.pending[id] = true
		t.mu.Unlock()
		w := work{timer: true, input: Input{Saga: id, ClockOffset: total, Event: machine.Event{Type: contract.EventTimerFired, At: at}}}
		if err := t.send(ctx, w); err != nil {
			t.done(id)
			return err
		}
	}
	if len(ids) > 0 { // there may be more due sagas, but commit these first
		next = t.clock().Add(wakeGrain)
	}
	t.expect(next)
	return nil
}

// sleep waits until a timer may be due, but at least wakeGrain and at most wakeLook. It returns
// false if ctx has ended.
func (t *timekeeper) sleep(ctx context.Context) bool {
	for {
		t.mu.Lock()
		wait := wakeLook
		if !t.next.IsZero() {
			wait = min(max(t.next.Sub(t.clock()), wakeGrain), wakeLook)
		}
		wait = max(wait, time.Until(t.notBefore))
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
