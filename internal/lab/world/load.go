//go:build linux && lab

package world

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
)

// Run holds what a caller knows about one saga.
type Run struct {
	ID    contract.SagaID
	Input Transfer
	Began time.Time // before the first request
	Acked time.Time // zero if the start was not acknowledged
	Ended time.Time // zero if its end was not seen
	Told  api.Saga
	Wrong string // an answer that no caller should get
}

// Possible reports whether the saga can complete.
func (r *Run) Possible() bool { return !r.Input.Refuse && r.Input.From != Penury }

// Caller configures a caller, which starts sagas one after the other.
type Caller struct {
	Name   string // prefix of the ids of its sagas, followed by a number
	Client *client.Client
	Rng    *rand.Rand
	Places chan struct{}        // one slot for each saga in flight; callers may share the channel
	Pause  func() time.Duration // pause between two starts
	AtOnce bool                 // start and wait with one request
}

// Load is a set of callers that start sagas until they are stopped. It records the replies that the
// callers got.
type Load struct {
	def    *saga.Definition
	ctx    context.Context // ends when no further sagas are to be started
	cancel context.CancelFunc
	asking context.Context // ends when callers stop waiting for answers
	giveUp context.CancelFunc
	done   sync.WaitGroup

	mu   sync.Mutex
	runs []*Run
}

// NewLoad returns a load without callers.
func NewLoad(def *saga.Definition) *Load {
	l := &Load{def: def}
	l.asking, l.giveUp = context.WithCancel(context.Background())
	l.ctx, l.cancel = context.WithCancel(l.asking)
	return l
}

// Call makes a caller start sagas until the load stops.
func (l *Load) Call(c Caller) {
	l.done.Go(func() {
		for n := 0; l.ctx.Err() == nil; n++ {
			select {
			case c.Places <- struct{}{}:
			case <-l.ctx.Done():
				return
			}
			r := l.begin(contract.SagaID(fmt.Sprintf("%s-%06d", c.Name, n)), draw(c.Rng))
			l.one(&c, r)
			select {
			case <-time.After(c.Pause()):
			case <-l.ctx.Done():
			}
		}
	})
}

// draw returns a random input. Most sagas can complete. In one of eight the pivot is rejected, and
// in one of sixteen the first step is rejected.
func draw(rng *rand.Rand) Transfer {
	t := Transfer{From: rng.IntN(Accounts), To: rng.IntN(Accounts), Amount: 1 + rng.Int64N(1000), Refuse: rng.IntN(8) == 0}
	if rng.IntN(16) == 0 {
		t.From = Penury
	}
	return t
}

// begin records a saga that is about to be started.
func (l *Load) begin(id contract.SagaID, input Transfer) *Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &Run{ID: id, Input: input, Began: time.Now()}
	l.runs = append(l.runs, r)
	return r
}

// one starts a saga and follows it to its end in the background.
func (l *Load) one(c *Caller, r *Run) {
	if !c.AtOnce && l.start(l.asking, c.Client, r) != nil {
		<-c.Places
		return
	}
	l.done.Go(func() {
		if c.AtOnce {
			l.run(c.Client, r)
		} else {
			_ = l.await(l.asking, c.Client, r) // the audit finds errors
		}
		<-c.Places
	})
}

// Start starts an additional saga, independent of the callers.
func (l *Load) Start(ctx context.Context, c *client.Client, id contract.SagaID, input Transfer) error {
	return l.start(ctx, c, l.begin(id, input))
}

// start starts a saga. It returns an error if the start was not acknowledged.
func (l *Load) start(ctx context.Context, c *client.Client, r *Run) error {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	_, err := c.Start(ctx, l.def, r.Input, client.ID(r.ID))
	l.note(r, "start", err, nil)
	return err
}

// run starts a saga and waits for its end, which also acknowledges the start.
func (l *Load) run(c *client.Client, r *Run) {
	ctx, cancel := context.WithTimeout(l.asking, Limit)
	defer cancel()
	status, err := c.Run(ctx, l.def, r.Input, client.ID(r.ID))
	if status != nil { // set even if the saga has not ended
		l.note(r, "run", nil, nil)
	}
	l.note(r, "run", err, status)
}

// await waits for the end of a saga.
func (l *Load) await(ctx context.Context, c *client.Client, r *Run) error {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	status, err := c.Wait(ctx, r.ID)
	l.note(r, "wait", err, status)
	return err
}

// note records an answer: an acknowledgement, an end, or an error. Timeouts and overload are
// expected under faults. A saga may then be missing if its start was not acknowledged. Any other
// error is a finding.
func (l *Load) note(r *Run, op string, err error, end *api.Saga) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && end != nil:
		r.Ended, r.Told = time.Now(), *end
	case err == nil:
		r.Acked = time.Now()
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrOverloaded):
	case l.asking.Err() != nil && errors.Is(err, context.Canceled):
	case r.Acked.IsZero() && errors.Is(err, client.ErrNotFound):
	default:
		r.Wrong = fmt.Sprintf("%s answered: %v", op, err)
	}
}

// All returns a copy of the runs recorded so far.
func (l *Load) All() []Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Run, len(l.runs))
	for i, r := range l.runs {
		all[i] = *r
	}
	return all
}

// Resumed returns the time of the first acknowledgement after since, and the time of the first end
// of a saga that was started after since. A time is zero if there was no such event yet. Older
// sagas do not count for ended, because they may have ended long ago even if their start is retried
// now.
func (l *Load) Resumed(since time.Time) (acked, ended time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range slices.Backward(l.runs) {
		if r.Began.Before(since.Add(-2 * Limit)) {
			break
		}
		if !r.Acked.After(since) {
			continue
		}
		if acked.IsZero() || r.Acked.Before(acked) {
			acked = r.Acked
		}
		if r.Told.Started.After(since) && (ended.IsZero() || r.Ended.Before(ended)) {
			ended = r.Ended
		}
	}
	return acked, ended
}

// AwaitMoving waits until a saga started after since has ended.
func (l *Load) AwaitMoving(since time.Time) error {
	return Poll("sagas move", func() bool { _, ended := l.Resumed(since); return !ended.IsZero() })
}

// UnderWay counts the sagas whose start was acknowledged and whose end was not seen.
func (l *Load) UnderWay() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.runs {
		if !r.Acked.IsZero() && r.Ended.IsZero() {
			n++
		}
	}
	return n
}

// Stop prevents further starts, and returns when no caller is waiting any more.
func (l *Load) Stop() {
	l.cancel()
	l.done.Wait()
}

// GiveUp stops the load at once, without waiting for answers. Starts that were not acknowledged may
// still be accepted; Finish retries them.
func (l *Load) GiveUp() {
	l.giveUp()
	l.done.Wait()
}

// Finish stops the load and waits again for every saga whose end was not seen. A saga whose start
// was not answered may exist all the same, so Finish retries the start.
func (l *Load) Finish(c *client.Client) {
	l.Stop()
	var waiting sync.WaitGroup
	places := make(chan struct{}, 512)
	for _, r := range l.runs { // no other goroutine writes any more
		if !r.Ended.IsZero() {
			continue
		}
		places <- struct{}{}
		waiting.Go(func() {
			defer func() { <-places }()
			ctx := context.Background()
			if r.Acked.IsZero() && l.asking.Err() != nil && l.start(ctx, c, r) != nil {
				return
			}
			_ = l.await(ctx, c, r) // the audit finds errors
		})
	}
	waiting.Wait()
}

// LongestGap returns the longest time between from and to without an event, where at returns the
// time of a run's event.
func LongestGap(runs []Run, from, to time.Time, at func(*Run) time.Time) (longest time.Duration) {
	moments := []time.Time{from, to}
	for i := range runs {
		if m := at(&runs[i]); m.After(from) && m.Before(to) {
			moments = append(moments, m)
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	for i := range moments[1:] {
		longest = max(longest, moments[i+1].Sub(moments[i]))
	}
	return longest
}
