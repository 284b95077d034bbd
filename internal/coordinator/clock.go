package coordinator

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// Limits for detecting and handling changes of the wall clock.
const (
	// clockStep is the smallest difference that counts as a step of the wall clock. It grows by
	// 1/clockSlew of the elapsed time, because slewing (as by NTP) is not a step.
	clockStep = 5 * time.Second
	clockSlew = 1000
	// clockEvery is the interval between checks; clockKept is the interval between saves of the clock
	// record.
	clockEvery, clockKept = time.Second, time.Minute
	// clockHold is how long retention pauses after the wall clock was set. It is measured on the
	// monotonic clock.
	clockHold = 24 * time.Hour
	// retimeBatch bounds the sagas that are retimed at the same time.
	retimeBatch = 512
)

// clock is the wall clock, compared with a monotonic clock. Until a step is adopted, clock
// continues as if the wall clock had not been set, so that sagas are retimed before they see the
// step.
type clock struct {
	wall    func() time.Time
	running func() time.Duration // nil if steps are not detected

	mu    sync.Mutex
	seen  time.Time     // the wall clock when it was last read
	at    time.Duration // the monotonic clock at the same moment
	total time.Duration // sum of the adopted steps
}

// stamp returns the time, and the total by which the wall clock has been set.
func (c *clock) stamp() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		return c.wall(), c.total
	}
	wall, now := c.wall(), c.running()
	evenly, step := c.against(wall, now)
	if step != 0 {
		return evenly, c.total
	}
	return wall, c.total
}

func (c *clock) now() time.Time {
	at, _ := c.stamp()
	return at
}

// sum returns the total by which the wall clock has been set.
func (c *clock) sum() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// against returns what the wall clock would show if it had not been set since the last check, and
// the step by which it was set; 0 means that it was not set.
func (c *clock) against(wall time.Time, now time.Duration) (evenly time.Time, step time.Duration) {
	passed := now - c.at
	evenly = c.seen.Add(passed)
	step = wall.Round(0).Sub(evenly)
	if step.Abs() < clockStep+passed.Abs()/clockSlew {
		return evenly, 0
	}
	return evenly, step
}

// look reads the clocks, and returns the step to be adopted, if any.
func (c *clock) look() (wall time.Time, running, step time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, running = c.wall().Round(0), c.running()
	if _, step = c.against(wall, running); step == 0 {
		c.seen, c.at = wall, running
	}
	return wall, running, step
}

// adopt accepts a step of the wall clock.
func (c *clock) adopt(wall time.Time, running, step time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen, c.at = wall, running
	c.total += step
}

// timing maintains the coordinator's clock and its saved state in the store.
type timing struct {
	c     *Coordinator
	clock *clock
	boot  string

	mu   sync.Mutex
	kept store.Clock
	said time.Time // when the last step was adopted, on the new clock
	step time.Duration
}

func newTiming(config *Config) *timing {
	t := &timing{clock: &clock{wall: config.Clock}, boot: config.Boot}
	if config.Running == nil || config.Store.Shared() {
		return t
	}
	t.clock.running = config.Running
	t.clock.seen, t.clock.at = config.Clock().Round(0), config.Running()
	return t
}

// load reads the clock record of the store. If the machine has not been rebooted since the record
// was saved, the wall clock is compared with it.
func (t *timing) load(ctx context.Context) error {
	kept, err := t.c.config.Store.Clock(ctx)
	if err != nil {
		return fmt.Errorf("read the clock record of the store: %w", err)
	}
	same := kept.Boot != "" && kept.Boot == t.boot
	t.clock.load(&kept, same)
	if t.clock.running != nil && t.c.config.AcceptClock {
		kept.Held = 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = kept
	return nil
}

// load restores the total by which the wall clock has been set. It also restores the last reading
// if the machine has not been rebooted since.
func (c *clock) load(kept *store.Clock, same bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total = kept.Total // even if steps are not detected
	if c.running != nil && same && kept.Running <= c.at {
		c.seen, c.at = kept.Wall, kept.Running
	}
}

// run checks the clock until ctx ends. Timers do not fire before the first check.
func (t *timing) run(ctx context.Context) error {
	if t.clock.running == nil {
		t.c.timekeeper.goOn()
		return nil
	}
	ticker := time.NewTicker(clockEvery)
	defer ticker.Stop()
	for {
		if err := t.look(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		t.c.timekeeper.goOn()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (t *timing) look(ctx context.Context) error {
	wall, running, step := t.clock.look()
	t.mu.Lock()
	next := t.kept
	t.mu.Unlock()
	passed := running - next.Running
	if next.Boot != t.boot || passed < 0 {
		passed = 0
	}
	if step == 0 && !next.Retimes && next.Boot == t.boot && passed < clockKept && !next.Wall.IsZero() {
		return nil
	}
	if step == 0 && !next.Retimes && t.c.config.Store.Check(ctx) != nil {
		return nil // the disk is full: do not write
	}
	next.Boot, next.Wall, next.Running = t.boot, wall, running
	next.Held = max(0, next.Held-passed)
	if step != 0 {
		next.Total, next.Retimes, next.Held = next.Total+step, true, clockHold
		why := fmt.Sprintf("timers wait until all sagas are retimed, because the clock was set by %s", step)
		t.c.timekeeper.stopped.Store(&why)
		t.c.config.Logger.WarnContext(ctx, "the clock of this machine was set; the open sagas are retimed, and retention waits", "by", step.String(), "retention_waits", clockHold.String())
	}
	if err := t.keep(ctx, next); err != nil {
		return err
	}
	if step != 0 {
		t.clock.adopt(wall, running, step)
		t.adopted(wall, step)
	}
	if !next.Retimes {
		return nil
	}
	retimed, err := t.retimeAll(ctx)
	if err != nil {
		return err
	}
	next.Retimes = false
	t.c.config.Logger.InfoContext(ctx, "the open sagas are retimed", "sagas", retimed)
	return t.keep(ctx, next)
}

// adopted restarts everything that measures time by the wall clock.
func (t *timing) adopted(wall time.Time, step time.Duration) {
	t.mu.Lock()
	t.said, t.step = wall, step
	t.mu.Unlock()
	t.c.monitor.forget()
	t.c.relay.Resend() // the relay's delays were measured by the old clock
	t.c.timekeeper.again()
	t.c.observer.ClockSet(step)
}

func (t *timing) keep(ctx context.Context, next store.Clock) error {
	if err := t.c.config.Store.SetClock(ctx, next); err != nil {
		return fmt.Errorf("store the clock record: %w", err)
	}
	t.mu.Lock()
	t.kept = next
	t.mu.Unlock()
	return nil
}

// holds returns how long retention still pauses on the monotonic clock, the step that caused the
// pause, and when that step was adopted; left is 0 if retention is not paused.
func (t *timing) holds() (left, step time.Duration, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clock.running == nil || t.kept.Held <= 0 {
		return 0, 0, time.Time{}
	}
	return max(0, t.kept.Held-(t.clock.running()-t.kept.Running)), t.step, t.said
}

// retimeAll retimes every open saga, and waits until all are retimed.
func (t *timing) retimeAll(ctx context.Context) (retimed int, err error) {
	page := store.Page{Limit: store.MaxPage}
	done := make(chan bool, retimeBatch)
	waits := 0
	take := func() error {
		select {
		case moved := <-done:
			if waits--; moved {
				retimed++
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		found, next, err := t.c.config.Store.List(ctx, store.Filter{OpenOnly: true}, page)
		if err != nil {
			return retimed, fmt.Errorf("list the open sagas to retime them: %w", err)
		}
		for i := range found {
			for waits >= retimeBatch {
				if err := take(); err != nil {
					return retimed, err
				}
			}
			at, total := t.clock.stamp()
			w := work{
				input: Input{Saga: found[i].ID, ClockOffset: total, Event: machine.Event{Type: contract.EventClockAdjusted, At: at}},
				// A saga that is set aside may refuse this input. Such a saga has waiting inputs, and is
				// retimed when they are decided.
				reply: func(r Result) { done <- r.Err == nil && r.Ignored == "" },
			}
			if err := t.c.put(ctx, w); err != nil {
				return retimed, err
			}
			waits++
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	for waits > 0 {
		if err := take(); err != nil {
			return retimed, err
		}
	}
	return retimed, nil
}
