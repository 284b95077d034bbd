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

// Bounds of what is done about a wall clock that somebody sets.
const (
	// clockStep is the least that is a step, and one more for each clockSlew that has passed:
	// a clock that is slewed is not set.
	clockStep = 5 * time.Second
	clockSlew = 1000
	// clockEvery is how often it is looked at, clockKept how often it is remembered.
	clockEvery, clockKept = time.Second, time.Minute
	// clockHold is for how much running time retention waits after a step.
	clockHold = 24 * time.Hour
	// retimeBatch bounds the sagas that are being retimed at once.
	retimeBatch = 512
)

// clock is the wall clock, held against one that runs evenly. While a step is not adopted it
// goes on as if there had been none, so that sagas are retimed before they see it.
type clock struct {
	wall    func() time.Time
	running func() time.Duration // nil: steps are not noticed

	mu    sync.Mutex
	seen  time.Time     // by the wall clock …
	at    time.Duration // … when running was this
	total time.Duration // of the steps that were adopted
}

// stamp is the time, and by how much the clock that tells it was set in all.
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

// sum is by how much the clock was set in all.
func (c *clock) sum() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// against is what the wall clock would say if it had not been set since it was last seen, and
// by how much it was; 0: it was not.
func (c *clock) against(wall time.Time, now time.Duration) (evenly time.Time, step time.Duration) {
	passed := now - c.at
	evenly = c.seen.Add(passed)
	step = wall.Round(0).Sub(evenly)
	if step.Abs() < clockStep+passed.Abs()/clockSlew {
		return evenly, 0
	}
	return evenly, step
}

// look sees how the clock stands. A step, if there is one, stays to be adopted.
func (c *clock) look() (wall time.Time, running, step time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, running = c.wall().Round(0), c.running()
	if _, step = c.against(wall, running); step == 0 {
		c.seen, c.at = wall, running
	}
	return wall, running, step
}

// adopt goes by the clock as it was set.
func (c *clock) adopt(wall time.Time, running, step time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen, c.at = wall, running
	c.total += step
}

// timing keeps the clock of a coordinator, and what its store remembers of it.
type timing struct {
	c     *Coordinator
	clock *clock
	boot  string

	mu   sync.Mutex
	kept store.Clock
	said time.Time // of the last step, by the clock that was set
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

// load begins with what the store remembers: on the same start of the machine the clock is held
// against that.
func (t *timing) load(ctx context.Context) error {
	kept, err := t.c.config.Store.Clock(ctx)
	if err != nil {
		return fmt.Errorf("read what the store remembers of the clock: %w", err)
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

// load takes in by how much the clock was set before, and when it was seen last, if that was on
// the same start of the machine.
func (c *clock) load(kept *store.Clock, same bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total = kept.Total // also where nothing more is noticed
	if c.running != nil && same && kept.Running <= c.at {
		c.seen, c.at = kept.Wall, kept.Running
	}
}

// run looks at the clock until ctx ends. Timers do not run before its first look.
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
		return nil // a full disk is not written to for this
	}
	next.Boot, next.Wall, next.Running = t.boot, wall, running
	next.Held = max(0, next.Held-passed)
	if step != 0 {
		next.Total, next.Retimes, next.Held = next.Total+step, true, clockHold
		why := fmt.Sprintf("they wait until all sagas are retimed: the clock was set by %s", step)
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

// adopted has what goes by the clock begin from what it says now.
func (t *timing) adopted(wall time.Time, step time.Duration) {
	t.mu.Lock()
	t.said, t.step = wall, step
	t.mu.Unlock()
	t.c.monitor.forget()
	t.c.relay.Resend() // its waits count from what the clock said
	t.c.timekeeper.again()
	t.c.observer.ClockSet(step)
}

func (t *timing) keep(ctx context.Context, next store.Clock) error {
	if err := t.c.config.Store.SetClock(ctx, next); err != nil {
		return fmt.Errorf("remember the clock: %w", err)
	}
	t.mu.Lock()
	t.kept = next
	t.mu.Unlock()
	return nil
}

// holds is for how much more running time retention waits, and for which step; 0: it does not.
func (t *timing) holds() (left, step time.Duration, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clock.running == nil || t.kept.Held <= 0 {
		return 0, 0, time.Time{}
	}
	return max(0, t.kept.Held-(t.clock.running()-t.kept.Running)), t.step, t.said
}

// retimeAll has every open saga retimed, and waits for that.
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
				input: Input{Saga: found[i].ID, Clock: total, Event: machine.Event{Type: contract.EventClockAdjusted, At: at}},
				// Put off, it has inputs that are decided soon, and is retimed by these.
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
