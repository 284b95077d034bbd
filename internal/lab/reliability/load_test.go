//go:build linux && lab

package reliability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// The load: so many callers start sagas, one after the other, and so many sagas
// may be under way. Starting does not wait for ends, and the first caller asks
// again soon, so that a time without an acknowledgement is the system's and not
// the callers'.
const (
	starters = 6
	most     = 512
)

// run is what a caller knows of one saga.
type run struct {
	id    contract.SagaID
	input transfer
	began time.Time // before the first request
	acked time.Time // zero: the start was not acknowledged
	ended time.Time // zero: its end was not seen
	told  transport.Status
	wrong string // an answer that no caller should get
}

// possible reports whether the saga can complete at all.
func (r *run) possible() bool { return !r.input.Refuse && r.input.From != penury }

// load starts sagas until it is told to stop.
type load struct {
	bus    *natsbus.Bus
	client *client.Client
	hasty  *client.Client     // the first caller's
	stop   context.CancelFunc // no further sagas
	done   sync.WaitGroup
	places chan struct{} // one for every saga under way

	mu   sync.Mutex
	runs []*run
}

func startLoad(t *testing.T, s *system, seed uint64) *load {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: s.proxies["load"].url(), Name: "load"})
	if err != nil {
		t.Fatal(err)
	}
	l := &load{
		bus: bus, places: make(chan struct{}, most),
		client: client.New(bus, client.Timeout(time.Second), client.Poll(500*time.Millisecond)),
		hasty:  client.New(bus, client.Timeout(100*time.Millisecond)),
	}
	working, stop := context.WithCancel(t.Context())
	l.stop = stop
	for w := range starters {
		l.done.Go(func() { l.work(working, w, rand.New(rand.NewPCG(seed, uint64(w)+1))) })
	}
	t.Cleanup(func() {
		stop()
		l.done.Wait()
		_ = bus.Close()
	})
	return l
}

// work is one caller.
func (l *load) work(ctx context.Context, w int, rng *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		r := &run{
			id:    contract.SagaID(fmt.Sprintf("w%02d-%06d", w, n)),
			input: transfer{From: rng.IntN(accounts), To: rng.IntN(accounts), Amount: 1 + rng.Int64N(1000), Refuse: rng.IntN(8) == 0},
			began: time.Now(),
		}
		if rng.IntN(16) == 0 {
			r.input.From = penury
		}
		select {
		case l.places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		l.mu.Lock()
		l.runs = append(l.runs, r)
		l.mu.Unlock()
		from := l.client
		if w == 0 {
			from = l.hasty
		}
		if w%3 == 1 { // its callers start and wait with one request
			l.done.Go(func() {
				l.carry(r)
				<-l.places
			})
		} else if l.start(r, from) {
			l.done.Go(func() {
				_ = l.await(r) // the audit looks for itself
				<-l.places
			})
		} else {
			<-l.places
		}
		select {
		case <-time.After(between(rng, 0, 100*time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// start starts a saga; false: it was not acknowledged.
func (l *load) start(r *run, from *client.Client) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, err := from.Start(ctx, transferMoney, r.input, client.ID(r.id))
	if err != nil {
		l.refused(r, "start", err)
		return false
	}
	l.mu.Lock()
	r.acked = time.Now()
	l.mu.Unlock()
	return true
}

// carry starts a saga and waits for its end, which is its acknowledgement.
func (l *load) carry(r *run) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	status, err := l.client.Run(ctx, transferMoney, r.input, client.ID(r.id))
	l.mu.Lock()
	if status != nil { // also when it has not ended
		r.acked = time.Now()
	}
	if err == nil {
		r.ended, r.told = time.Now(), *status
	}
	l.mu.Unlock()
	if err != nil {
		l.refused(r, "run", err)
	}
}

// await waits for the end of a saga.
func (l *load) await(r *run) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	status, err := l.client.Wait(ctx, r.id)
	if err != nil {
		l.refused(r, "wait", err)
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.ended, r.told = time.Now(), *status
	return nil
}

// refused takes note of an error. That nobody answered, or that there was too
// much to do, is what faults are for, and a start that nobody answered may not have
// come; anything else is a finding.
func (l *load) refused(r *run, op string, err error) {
	if errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrOverloaded) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.acked.IsZero() && errors.Is(err, client.ErrNotFound) {
		return
	}
	r.wrong = fmt.Sprintf("%s answered: %v", op, err)
}

// all is a copy of what is known.
func (l *load) all() []run {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]run, len(l.runs))
	for i, r := range l.runs {
		all[i] = *r
	}
	return all
}

// resumed is when the first saga was acknowledged after a moment, and when the
// first saga that was started after it had ended; zero: not yet. A saga that was
// there before, and whose start was asked for again, may have ended long ago: it
// says nothing of the system now.
func (l *load) resumed(since time.Time) (acked, ended time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range slices.Backward(l.runs) {
		if r.began.Before(since.Add(-2 * limit)) {
			break
		}
		if !r.acked.After(since) {
			continue
		}
		if acked.IsZero() || r.acked.Before(acked) {
			acked = r.acked
		}
		if r.told.Started.After(since) && (ended.IsZero() || r.ended.Before(ended)) {
			ended = r.ended
		}
	}
	return acked, ended
}

// underWay counts the sagas whose start was acknowledged and whose end was not
// seen.
func (l *load) underWay() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.runs {
		if !r.acked.IsZero() && r.ended.IsZero() {
			n++
		}
	}
	return n
}

// finish stops the load and waits once more for every saga whose end was not seen;
// one whose start nobody answered may be there all the same.
func (l *load) finish() {
	l.stop()
	l.done.Wait()
	var waiting sync.WaitGroup
	for _, r := range l.runs { // nobody else writes any more
		if !r.ended.IsZero() {
			continue
		}
		l.places <- struct{}{}
		waiting.Go(func() {
			_ = l.await(r) // the audit looks for itself
			<-l.places
		})
	}
	waiting.Wait()
}

// longestGap is the longest time without an acknowledgement within a span.
func longestGap(runs []run, from, to time.Time) (longest time.Duration) {
	acks := []time.Time{from, to}
	for i := range runs {
		if a := runs[i].acked; a.After(from) && a.Before(to) {
			acks = append(acks, a)
		}
	}
	slices.SortFunc(acks, time.Time.Compare)
	for i := range acks[1:] {
		longest = max(longest, acks[i+1].Sub(acks[i]))
	}
	return longest
}
