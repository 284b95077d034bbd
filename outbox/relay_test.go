package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/transport"
)

// bus records the messages that it accepts. refuse decides which ones it refuses.
type bus struct {
	mu     sync.Mutex
	got    []string
	refuse func(id string) error
	gate   chan struct{} // if not nil, Publish waits until it is closed
}

func (b *bus) Publish(_ context.Context, batch []transport.Envelope) []error {
	if b.gate != nil {
		<-b.gate
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := make([]error, len(batch))
	for i, e := range batch {
		if b.refuse != nil {
			errs[i] = b.refuse(e.ID)
		}
		if errs[i] == nil {
			b.got = append(b.got, e.ID)
		}
	}
	return errs
}

func (b *bus) taken() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// ledger holds the pending records.
type ledger struct {
	mu        sync.Mutex
	records   []outbox.Record
	discarded []outbox.ID
	fail      error
	onPending func() // called while the ledger is read
}

func (l *ledger) Destinations(context.Context) (map[outbox.Destination]int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[outbox.Destination]int{}
	for _, r := range l.records {
		counts[r.To]++
	}
	return counts, l.fail
}

func (l *ledger) Pending(_ context.Context, to outbox.Destination, after outbox.Position, yield func(outbox.Position, outbox.Record) bool) error {
	l.mu.Lock()
	records := slices.DeleteFunc(slices.Clone(l.records), func(r outbox.Record) bool { return r.To != to })
	l.mu.Unlock()
	if l.onPending != nil {
		l.onPending()
	}
	for _, r := range records {
		if place := (outbox.Position{Commit: r.ID.Revision + 1}); after.Compare(place) < 0 && !yield(place, r) {
			break
		}
	}
	return l.fail
}

func (l *ledger) Discard(_ context.Context, ids []outbox.ID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.discarded = append(l.discarded, ids...)
	l.records = slices.DeleteFunc(l.records, func(r outbox.Record) bool { return slices.Contains(ids, r.ID) })
	return nil
}

func record(n int) outbox.Record {
	to := outbox.Destination("shop")
	if n%5 == 0 {
		to = outbox.Lifecycle
	}
	return recordTo(to, n)
}

func recordTo(to outbox.Destination, n int) outbox.Record {
	id := outbox.ID{Saga: contract.SagaID(fmt.Sprintf("s%d", n/7)), Revision: uint64(n)}
	return outbox.Record{ID: id, To: to, Envelope: transport.Envelope{ID: fmt.Sprint(n)}}
}

func records(from, to int) (out []outbox.Record) {
	for n := from; n < to; n++ {
		out = append(out, record(n))
	}
	return out
}

// commands returns the records from … upTo-1 for one participant.
func commands(to outbox.Destination, from, upTo int) (out []outbox.Record) {
	for n := from; n < upTo; n++ {
		out = append(out, recordTo(to, n))
	}
	return out
}

// of returns the announcements or the commands in a list of message ids.
func of(list []string, announcements bool) []string {
	return slices.DeleteFunc(slices.Clone(list), func(id string) bool {
		n, err := strconv.Atoi(id)
		return err != nil || (n%5 == 0) != announcements
	})
}

func ids(from, to int) (out []string) {
	for n := from; n < to; n++ {
		out = append(out, fmt.Sprint(n))
	}
	return out
}

// run runs a relay until stop is called.
func run(t *testing.T, r *outbox.Relay) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// TestSendsInOrder checks that the pending records are sent after a start, then the pushed ones, in
// order for each destination. Announcements must be discarded once the bus has them, but not
// commands.
func TestSendsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := &bus{}, &ledger{records: records(0, 10)}
		r := outbox.NewRelay(b, l, outbox.Options{Window: 4})
		defer run(t, r)()
		synctest.Wait()
		r.Push(records(10, 20))
		synctest.Wait()
		for _, announcements := range []bool{true, false} {
			if got, want := of(b.taken(), announcements), of(ids(0, 20), announcements); !slices.Equal(got, want) {
				t.Errorf("sent %v, want %v", got, want)
			}
		}
		if want := []outbox.ID{record(0).ID, record(5).ID, record(10).ID, record(15).ID}; !slices.Equal(l.discarded, want) {
			t.Errorf("discarded %v, want %v", l.discarded, want)
		}
		if s := r.Stats(); s.Busy() {
			t.Errorf("still busy: %+v", s)
		}
	})
}

// TestRefusedIsSentAgain checks that records which the bus refuses for now are sent again and not
// lost.
func TestRefusedIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := map[string]int{}
		b, l := &bus{}, &ledger{}
		b.refuse = func(id string) error {
			if tries[id]++; tries[id] <= 3 {
				return errors.New("stream is full")
			}
			return nil
		}
		var accepted, refused atomic.Int64
		r := outbox.NewRelay(b, l, outbox.Options{Window: 4, OnPublish: func(a, b int) { accepted.Add(int64(a)); refused.Add(int64(b)) }})
		defer run(t, r)()
		r.Push(records(0, 10))
		for len(b.taken()) < 10 {
			synctest.Wait()
			<-after(t)
		}
		synctest.Wait()
		got := b.taken()
		slices.Sort(got)
		want := ids(0, 10)
		slices.Sort(want)
		if !slices.Equal(got, want) || accepted.Load() != 10 || refused.Load() != 30 {
			t.Errorf("sent %v, %d accepted, %d refused", got, accepted.Load(), refused.Load())
		}
	})
}

// TestRefusedForGood checks that a command which the bus will never accept is reported once and
// delays no other. It must be reported as possibly sent unless all earlier attempts were certainly
// refused.
func TestRefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := map[string]int{}
		b := &bus{refuse: func(id string) error {
			tries[id]++
			switch {
			case id == "1", tries[id] > 1:
				return fmt.Errorf("2 MB: %w", transport.ErrTooLarge)
			case id == "3":
				return fmt.Errorf("for now: %w", transport.ErrFull)
			case id == "4":
				return errors.New("no answer in time")
			}
			return nil
		}}
		var mu sync.Mutex
		reported := map[string]bool{}
		all := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(reported)
		}
		pending := recordTo("shop", 6)
		tries["6"] = 1
		r := outbox.NewRelay(b, &ledger{records: []outbox.Record{pending}}, outbox.Options{
			OnRefused: func(r outbox.Record, sent bool, _ error) {
				mu.Lock()
				defer mu.Unlock()
				reported[r.Envelope.ID] = sent
			},
		})
		r.Push(commands("shop", 1, 5))
		defer run(t, r)()
		for all() < 4 {
			synctest.Wait()
			<-after(t)
		}
		synctest.Wait()
		if got := b.taken(); !slices.Equal(got, []string{"2"}) || r.Stats().Busy() {
			t.Errorf("sent %v, %+v", got, r.Stats())
		}
		if want := map[string]bool{"1": false, "3": false, "4": true, "6": true}; !maps.Equal(reported, want) {
			t.Errorf("reported %v, want %v", reported, want)
		}
	})
}

// TestSharedIsNeverCertain checks that, with a shared ledger, a refused command is reported as
// possibly sent, because a different process may have sent it.
func TestSharedIsNeverCertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bus{refuse: func(string) error { return fmt.Errorf("too large: %w", transport.ErrRefusedForGood) }}
		var certain []bool
		r := outbox.NewRelay(b, &ledger{}, outbox.Options{
			Shared: true, OnRefused: func(_ outbox.Record, sent bool, _ error) { certain = append(certain, !sent) },
		})
		r.Push(commands("shop", 1, 3))
		stop := run(t, r)
		synctest.Wait()
		stop()
		if !slices.Equal(certain, []bool{false, false}) {
			t.Errorf("certain: %v", certain)
		}
	})
}

// TestDrop checks that a record which is discarded while it waits is not sent.
func TestDrop(t *testing.T) {
	for name, drop := range map[string]func(*outbox.Relay, []outbox.ID){"answered": (*outbox.Relay).Drop, "superseded": (*outbox.Relay).Supersede} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bus{gate: make(chan struct{})}
				r := outbox.NewRelay(b, &ledger{}, outbox.Options{Window: 1})
				defer run(t, r)()
				r.Push(commands("shop", 0, 4))
				synctest.Wait() // record 0 is being published
				drop(r, []outbox.ID{record(0).ID, record(2).ID, record(99).ID})
				close(b.gate)
				synctest.Wait()
				if got := b.taken(); !slices.Equal(got, []string{"0", "1", "3"}) {
					t.Errorf("sent %v", got)
				}
			})
		})
	}
}

// TestDropWhileSending checks that a record which is discarded during its publish, and then
// refused, is not queued again. Otherwise, attempts that timed out would accumulate during an
// outage.
func TestDropWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		b := &bus{gate: make(chan struct{}), refuse: func(string) error {
			if up.Load() {
				return nil
			}
			return errors.New("away")
		}}
		r := outbox.NewRelay(b, &ledger{}, outbox.Options{})
		defer run(t, r)()
		r.Push(records(1, 4))
		synctest.Wait() // all three are being published
		r.Drop([]outbox.ID{record(2).ID})
		b.gate <- struct{}{}
		synctest.Wait()
		if n := r.Stats().Backlog; n != 2 {
			t.Errorf("%d records wait to be sent again, want 2", n)
		}
		up.Store(true)
		close(b.gate)
		for len(b.taken()) < 2 {
			synctest.Wait()
			<-after(t)
		}
		synctest.Wait()
		if got := b.taken(); !slices.Equal(got, []string{"1", "3"}) {
			t.Errorf("sent %v, want 1 and 3", got)
		}
	})
}

// TestBacklogIsBounded checks that a relay at its backlog drops records from memory and reads them
// from the ledger later (I10).
func TestBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := &bus{gate: make(chan struct{})}, &ledger{}
		r := outbox.NewRelay(b, l, outbox.Options{Window: 2, Backlog: 5})
		defer run(t, r)()
		synctest.Wait() // nothing was pending at the start
		l.mu.Lock()
		l.records = commands("shop", 0, 12)
		l.mu.Unlock()
		r.Push(commands("shop", 0, 12))
		synctest.Wait()
		if n := r.Stats().Backlog; n > 5 {
			t.Errorf("%d records in memory, at most 5", n)
		}
		close(b.gate)
		synctest.Wait()
		if got := b.taken(); !slices.Equal(got, ids(0, 12)) {
			t.Errorf("sent %v", got)
		}
	})
}

// TestPushedWhileTheLedgerIsRead checks that a record which is pushed while the ledger is read,
// because the queue was full, is sent in commit order.
func TestPushedWhileTheLedgerIsRead(t *testing.T) {
	b, l := &bus{}, &ledger{}
	r := outbox.NewRelay(b, l, outbox.Options{Window: 2, Backlog: 5})
	if _, _, err := r.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.records = commands("shop", 0, 12)
	r.Push(l.records)
	l.onPending = func() {
		l.onPending = nil
		l.mu.Lock()
		defer l.mu.Unlock()
		l.records = append(l.records, commands("shop", 12, 20)...)
		r.Push(commands("shop", 12, 20))
	}
	for {
		handed, _, err := r.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := r.Stats().Backlog; n > 5-2 {
			t.Errorf("%d records in memory after two of at most 5 were sent", n)
		}
		if handed == 0 {
			break
		}
	}
	if got := b.taken(); !slices.Equal(got, ids(0, 20)) {
		t.Errorf("sent %v", got)
	}
}

// TestReadsAgainAtOnce checks that a record which is pushed to a full backlog, while the ledger is
// read in parts, is sent without a further push: the next read must start at once. Found by the
// simulator.
func TestReadsAgainAtOnce(t *testing.T) {
	b, l := &bus{}, &ledger{}
	r := outbox.NewRelay(b, l, outbox.Options{Backlog: 2, Window: 2})
	step := func(want int) {
		t.Helper()
		if handed, _, err := r.Step(t.Context()); err != nil || handed != want {
			t.Fatalf("handed %d (%v), want %d", handed, err, want)
		}
	}
	step(0)
	l.records = commands("shop", 4, 10)
	r.Push(l.records)
	step(2)
	step(2)                            // as many as fit; the ledger may have more after 7
	l.records = commands("shop", 1, 2) // the others are discarded, and this one is before the cursor
	r.Push(l.records)
	step(1)
	step(0)
	if got, want := b.taken(), append(ids(4, 8), ids(1, 2)...); !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
	if s := r.Stats(); s.Busy() {
		t.Errorf("busy: %+v", s)
	}
}

// TestResend checks that all pending records are sent again after the bus has lost data.
func TestResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := &bus{}, &ledger{records: commands("shop", 0, 3)}
		r := outbox.NewRelay(b, l, outbox.Options{})
		defer run(t, r)()
		synctest.Wait()
		r.Resend()
		synctest.Wait()
		if got := b.taken(); !slices.Equal(got, append(ids(0, 3), ids(0, 3)...)) {
			t.Errorf("sent %v", got)
		}
	})
}

// TestResendWhileSending checks that records which were being published when the bus lost data are
// sent again too.
func TestResendWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := &bus{gate: make(chan struct{})}, &ledger{records: commands("shop", 0, 3)}
		r := outbox.NewRelay(b, l, outbox.Options{})
		defer run(t, r)()
		synctest.Wait()
		r.Resend()
		close(b.gate)
		synctest.Wait()
		if got := b.taken(); !slices.Equal(got, append(ids(0, 3), ids(0, 3)...)) {
			t.Errorf("sent %v", got)
		}
	})
}

func TestLedgerFails(t *testing.T) {
	l := &ledger{fail: errors.New("closed")}
	if err := outbox.NewRelay(&bus{}, l, outbox.Options{}).Run(t.Context()); err == nil {
		t.Error("Run goes on although the ledger failed")
	}
}
