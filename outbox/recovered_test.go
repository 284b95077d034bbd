package outbox_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/outbox"
)

// TestRecoveredTakeTurnsWithNew checks that after a start the commands that were pending take turns
// with new ones, so that a new command does not wait behind all of them (I13), and that all are
// sent.
func TestRecoveredTakeTurnsWithNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := &bus{gate: make(chan struct{})}, &ledger{records: commands("shop", 0, 1000)}
		r := outbox.NewRelay(b, l, outbox.Options{Window: 4, Backlog: 64})
		defer run(t, r)()
		synctest.Wait() // the first window is being published
		fresh := commands("shop", 5000, 5020)
		l.mu.Lock()
		l.records = append(l.records, fresh...)
		l.mu.Unlock()
		r.Push(fresh)
		if _, over := r.OverShare([]outbox.Destination{"shop"}, 42); over {
			t.Error("starts are refused because of commands that were pending at the start")
		}
		close(b.gate)
		synctest.Wait()
		got := b.taken()
		if last := slices.Index(got, "5019"); last < 20 || last > 4+2*20 {
			t.Errorf("the last of 20 new commands was sent as number %d, want one new for each recovered: %v", last+1, got[:min(len(got), 60)])
		}
		want := append(ids(0, 1000), ids(5000, 5020)...)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("sent %d records, want each of %d once", len(got), len(want))
		}
		if s := r.Stats(); s.Busy() {
			t.Errorf("still busy: %+v", s)
		}
	})
}

// TestRecoveredAreBounded checks that at most Options.Recovered commands that were pending at the
// start are on the bus, that a further one is sent for each that is answered, and that new commands
// do not wait for that.
func TestRecoveredAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := &bus{}, &ledger{records: commands("shop", 0, 10_000)}
		r := outbox.NewRelay(b, l, outbox.Options{Recovered: 10})
		defer run(t, r)()
		sent := func(want int) {
			t.Helper()
			synctest.Wait()
			if got := b.taken(); len(got) != want {
				t.Fatalf("sent %d, want %d", len(got), want)
			}
		}
		if more, _ := r.Recovering(); !more {
			t.Error("nothing is reported as pending since the start before the ledger is read")
		}
		sent(10)
		line := r.Queues()[0]
		if line.Full || line.Waiting != 10 || !line.MoreInLedger || line.OnBus != 10 {
			t.Errorf("the queue is reported as %+v", line)
		}
		if r.Stats().Sendable {
			t.Error("reported as sendable, so that a stop would wait for it")
		}
		r.Push(commands("shop", 20_000, 20_003))
		sent(13)
		r.Drop([]outbox.ID{recordTo("shop", 3).ID, recordTo("shop", 20_001).ID})
		sent(14)
		for n := range 3 {
			r.Drop([]outbox.ID{recordTo("shop", 4+n).ID})
		}
		sent(17)
		answered := time.Now()
		if more, at := r.Recovering(); !more || !at.Equal(answered) {
			t.Errorf("Recovering returns %t, %s, want an answer at %s", more, at, answered)
		}
		r.Push(commands("shop", 30_000, 30_001))
		l.mu.Lock()
		l.records = nil
		l.mu.Unlock()
		for n := range 10_000 {
			r.Drop([]outbox.ID{recordTo("shop", n).ID})
		}
		synctest.Wait()
		if more, _ := r.Recovering(); more {
			t.Errorf("all are answered, but Recovering reports more: %+v", r.Queues())
		}
	})
}

// TestRecoveredExpire checks that recovered commands which expire on the bus make room for further
// ones, so that those of an absent participant all get their turn.
func TestRecoveredExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := commands("shop", 0, 6)
		for i := range list {
			list[i].Envelope.Expires = time.Now().Add(10 * time.Second)
		}
		b := &bus{}
		r := outbox.NewRelay(b, &ledger{records: list}, outbox.Options{Recovered: 2})
		defer run(t, r)()
		for len(b.taken()) < 6 {
			<-after(t)
		}
		if got := b.taken(); !slices.Equal(got, ids(0, 6)) {
			t.Errorf("sent %v", got)
		}
	})
}

// TestRecoveredRefused checks that recovered and new commands which the bus refuses for now are all
// sent later, each once.
func TestRecoveredRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := map[string]int{}
		b := &bus{refuse: func(id string) error {
			if tries[id]++; tries[id] <= 2 {
				return errors.New("stream is full")
			}
			return nil
		}}
		r := outbox.NewRelay(b, &ledger{records: commands("shop", 0, 20)}, outbox.Options{Window: 4, Recovered: 30})
		r.Push(commands("shop", 100, 110))
		defer run(t, r)()
		for len(b.taken()) < 30 {
			<-after(t)
		}
		synctest.Wait()
		got, want := b.taken(), append(ids(0, 20), ids(100, 110)...)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("sent %v", got)
		}
	})
}

// TestRecoveredAnnouncementsKeepTheirOrder checks that announcements of a saga stay in commit order
// after a start: a listener must not be told of an end before the start.
func TestRecoveredAnnouncementsKeepTheirOrder(t *testing.T) {
	b, l := &bus{}, &ledger{}
	for n := range 10 {
		l.records = append(l.records, recordTo(outbox.Lifecycle, n))
	}
	r := outbox.NewRelay(b, l, outbox.Options{Window: 2, Backlog: 4})
	var want []string
	for n := range 12 {
		if n == 1 {
			l.records = append(l.records, recordTo(outbox.Lifecycle, 10), recordTo(outbox.Lifecycle, 11))
			r.Push([]outbox.Record{recordTo(outbox.Lifecycle, 10), recordTo(outbox.Lifecycle, 11)})
		}
		want = append(want, fmt.Sprint(n))
		if _, _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.taken(); !slices.Equal(got, want) {
		t.Errorf("sent %v", got)
	}
}

// TestDroppedWhileTheLedgerIsRead drops a new command that a read of the ledger, which began before, then finds:
// it is entered once more. The counts of both parts of its queue stay right.
func TestDroppedWhileTheLedgerIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := commands("shop", 0, 3)
		l := &ledger{records: list}
		b := &bus{}
		r := outbox.NewRelay(b, l, outbox.Options{})
		l.onPending = func() {
			l.onPending = nil
			r.Push(list[:1])
			r.Drop([]outbox.ID{list[0].ID})
		}
		defer run(t, r)()
		synctest.Wait()
		if got := b.taken(); !slices.Equal(got, []string{"0", "1", "2"}) && !slices.Equal(got, []string{"1", "0", "2"}) {
			t.Errorf("sent %v, want each once", got)
		}
		for _, q := range r.Queues() {
			if q.Waiting != 0 || q.Oldest != 0 {
				t.Errorf("nothing waits, but the queue is reported as %+v", q)
			}
		}
		if s := r.Stats(); s.Busy() || s.Backlog != 0 {
			t.Errorf("still busy: %+v", s)
		}
	})
}
