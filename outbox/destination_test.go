package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/transport"
)

// sizedTo returns record n for a destination, with the given number of bytes of data.
func sizedTo(to outbox.Destination, n, bytes int) outbox.Record {
	r := recordTo(to, n)
	r.Envelope.Data = make([]byte, bytes)
	return r
}

// TestRefusedDestinationDelaysNobody checks that a destination which the bus refuses delays no
// other (I13), neither on the same stream nor on a different one.
func TestRefusedDestinationDelaysNobody(t *testing.T) {
	for _, refused := range []outbox.Destination{"bank", outbox.Lifecycle} {
		t.Run(refused.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, l := &bus{}, &ledger{}
				b.refuse = func(id string) error {
					if strings.HasPrefix(id, "1") {
						return fmt.Errorf("full: %w", transport.ErrFull)
					}
					return nil
				}
				r := outbox.NewRelay(b, l, outbox.Options{Window: 4, Backlog: 20})
				defer run(t, r)()
				var stuck []outbox.Record
				for n := range 60 {
					stuck = append(stuck, recordTo(refused, 1000+n))
				}
				l.mu.Lock()
				l.records = slices.Clone(stuck)
				l.mu.Unlock()
				r.Push(stuck)
				for n := range 50 {
					r.Push(commands("shop", 200+n, 201+n))
					synctest.Wait() // no time passes
					if got := b.taken(); len(got) != n+1 || got[n] != fmt.Sprint(200+n) {
						t.Fatalf("command %d was not sent at once: %v", n, got)
					}
				}
			})
		})
	}
}

// TestSilentStreamDelaysNoOther checks that a stream which does not respond delays no other stream.
func TestSilentStreamDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := make(chan struct{})
		b := &bus{}
		r := outbox.NewRelay(perStream{b, map[transport.Stream]chan struct{}{transport.StreamLifecycle: silent}}, &ledger{}, outbox.Options{})
		defer run(t, r)()
		defer close(silent)
		announcement := recordTo(outbox.Lifecycle, 1)
		announcement.Envelope.Subject = "saga.lifecycle.checkout.completed"
		r.Push([]outbox.Record{announcement})
		synctest.Wait()
		command := recordTo("shop", 2)
		command.Envelope.Subject = "saga.command.shop.sell"
		r.Push([]outbox.Record{command})
		synctest.Wait()
		if got := b.taken(); !slices.Equal(got, []string{"2"}) {
			t.Errorf("sent %v, want the command", got)
		}
	})
}

// perStream is a bus with a gate for each stream. Publish blocks until the gate opens.
type perStream struct {
	*bus
	gates map[transport.Stream]chan struct{}
}

func (p perStream) Publish(ctx context.Context, batch []transport.Envelope) []error {
	if stream, err := (transport.Subjects{}).StreamOf(batch[0].Subject); err == nil && p.gates[stream] != nil {
		<-p.gates[stream]
	}
	return p.bus.Publish(ctx, batch)
}

// TestTurnsByBytes checks that destinations take turns by bytes: a short command must not wait
// behind a hundred long commands of a different destination.
func TestTurnsByBytes(t *testing.T) {
	b := &bus{}
	r := outbox.NewRelay(b, &ledger{}, outbox.Options{Window: 16})
	for n := range 100 {
		r.Push([]outbox.Record{sizedTo("bank", 1000+n, 60<<10)})
	}
	r.Push(commands("shop", 0, 16))
	for range 2 {
		if _, _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got := b.taken()
	if short := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return len(id) == 4 }); !slices.Equal(short, ids(0, 16)) {
		t.Errorf("short commands in the first two windows of 16: %v", short)
	}
}

// TestShares checks the limits on what the bus holds. However many participants do not respond, and
// however much is pending for them, each holds at most its share. A participant that is added later
// can always send a command.
func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room := rapid.IntRange(100_000, 2_000_000).Draw(t, "room")
		credit := rapid.IntRange(1, 200).Draw(t, "credit")
		b := &bus{}
		r := outbox.NewRelay(b, &ledger{}, outbox.Options{Credit: credit})
		r.Correct(outbox.Held{Limit: int64(room)})
		step := func() {
			for {
				handed, _, err := r.Step(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				if handed == 0 {
					return
				}
			}
		}
		held, total, n := map[string]int{}, 0, 0
		for p := range rapid.IntRange(1, 8).Draw(t, "participants") {
			to := outbox.Destination(fmt.Sprintf("p%d", p))
			size := rapid.IntRange(1, 5_000).Draw(t, "size")
			var list []outbox.Record
			for range 500 {
				n++
				list = append(list, sizedTo(to, n, size))
			}
			r.Push(list)
			step()
			for _, line := range r.Queues() {
				if line.To != to {
					continue
				}
				switch free := room - total; {
				case line.OnBus == 0:
					t.Fatalf("%s (participant %d) could send nothing", to, p+1)
				case line.OnBus > credit:
					t.Fatalf("%s holds %d commands, want at most %d", to, line.OnBus, credit)
				case line.OnBus > 1 && line.Bytes > free-line.Bytes+line.Bytes/line.OnBus:
					t.Fatalf("%s holds %d of the %d bytes that were free", to, line.Bytes, free)
				case !line.Full && line.Waiting > 0:
					t.Fatalf("%s has %d commands waiting without a reason", to, line.Waiting)
				}
				held[string(to)], total = line.Bytes, total+line.Bytes
			}
		}
	})
}

// TestCreditComesBack checks that answered and expired commands free their share of the bus. A
// superseded attempt does so only when it expires.
func TestCreditComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bus{}
		r := outbox.NewRelay(b, &ledger{}, outbox.Options{Credit: 2})
		defer run(t, r)()
		list := commands("shop", 1, 8)
		for i := range list {
			list[i].Envelope.Expires = time.Now().Add(10 * time.Second)
		}
		r.Push(list)
		sent := func(want int) {
			t.Helper()
			synctest.Wait()
			if got := b.taken(); !slices.Equal(got, ids(1, want+1)) {
				t.Fatalf("sent %v, want %d", got, want)
			}
		}
		sent(2)
		r.Drop([]outbox.ID{list[0].ID})
		sent(3)
		r.Supersede([]outbox.ID{list[1].ID})
		sent(3)
		if why := r.Unsent("shop", list[3].ID); !strings.Contains(why, "2 commands") || !strings.Contains(why, "unanswered") {
			t.Errorf("Unsent returned %q", why)
		}
		if why := r.Unsent("shop", list[2].ID); why != "" {
			t.Errorf("Unsent returned %q for a command that was sent", why)
		}
		for len(b.taken()) < 5 { // after MinLife the first two have expired
			<-after(t)
		}
		if passed := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); passed < transport.MinLife {
			t.Errorf("sent after %s, although the bus keeps commands for %s", passed, transport.MinLife)
		}
		sent(5)
		r.Correct(outbox.Held{Before: r.InFlight(), Messages: map[outbox.Destination]int{"shop": 0}}) // acknowledged
		sent(7)
	})
}

// TestCorrected checks that Correct counts commands that a previous process sent.
func TestCorrected(t *testing.T) {
	b := &bus{}
	r := outbox.NewRelay(b, &ledger{}, outbox.Options{Credit: 10})
	r.Correct(outbox.Held{Messages: map[outbox.Destination]int{"shop": 8}})
	r.Push(commands("shop", 1, 6))
	if _, _, err := r.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.taken(); len(got) != 2 {
		t.Errorf("sent %v with 8 already on the bus, want at most 10 in all", got)
	}
}

// TestAnnouncementsAreBounded checks that announcements wait while the bus accepts none, up to a
// limit. Beyond it, the oldest are dropped and counted. Commands are never dropped.
func TestAnnouncementsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		b := &bus{refuse: func(string) error {
			if up.Load() {
				return nil
			}
			return fmt.Errorf("disk: %w", transport.ErrFull)
		}}
		var list []outbox.Record
		for n := range 50 {
			list = append(list, recordTo(outbox.Lifecycle, 100+n))
		}
		l := &ledger{records: slices.Clone(list)}
		var dropped atomic.Int64
		r := outbox.NewRelay(b, l, outbox.Options{Window: 4, Backlog: 10, Announcements: 20, OnDropped: func(n int, err error) { dropped.Add(int64(n)) }})
		defer run(t, r)()
		for dropped.Load() < 30 {
			<-after(t)
		}
		up.Store(true)
		for len(b.taken()) < 20 {
			<-after(t)
		}
		synctest.Wait()
		if got := b.taken(); !slices.Equal(got, ids(130, 150)) || dropped.Load() != 30 {
			t.Errorf("dropped %d, sent %v", dropped.Load(), got)
		}
	})
}

// TestOverShare checks that the share of a single destination is half of the limit, and that a
// destination with few waiting commands never exceeds its share.
func TestOverShare(t *testing.T) {
	b := &bus{refuse: func(string) error { return fmt.Errorf("away: %w", transport.ErrRefused) }}
	r := outbox.NewRelay(b, &ledger{}, outbox.Options{})
	crowded := func(want bool, to ...outbox.Destination) {
		t.Helper()
		if who, got := r.OverShare(to, 100); got != want {
			t.Errorf("OverShare(%v) = %t (%s), want %t", to, got, who, want)
		}
	}
	r.Push(commands("bank", 1, 50))
	crowded(false, "bank", "shop")
	r.Push(commands("bank", 50, 51))
	crowded(true, "shop", "bank")
	crowded(false, "shop")
	r.Push(commands("bank", 51, 1051)) // undo commands are not limited
	crowded(false, "shop")
	r.Push(commands("shop", 2000, 2005))
	crowded(false, "shop")
	r.Push(commands("shop", 2005, 2006))
	crowded(true, "shop")
	crowded(false, "mail")
}

// TestQueueIsRewritten checks that records which are no longer pending do not accumulate behind a
// pending one.
func TestQueueIsRewritten(t *testing.T) {
	b := &bus{refuse: func(string) error { return fmt.Errorf("away: %w", transport.ErrRefused) }}
	r := outbox.NewRelay(b, &ledger{}, outbox.Options{Backlog: 300})
	for attempt := range 50 {
		r.Push(commands("shop", 1000*attempt, 1000*attempt+250))
		if lines := r.Queues(); lines[0].MoreInLedger || lines[0].Waiting != 250 {
			t.Fatalf("attempt %d: %+v", attempt, lines[0])
		}
		for n := range 250 {
			r.Supersede([]outbox.ID{recordTo("shop", 1000*attempt+n).ID})
		}
	}
	if lines := r.Queues(); len(lines) > 0 && lines[0].Waiting > 0 {
		t.Errorf("%+v", lines)
	}
}

// TestMemoryIsBounded checks that the records of all refused destinations share a limit in memory,
// and that each destination has some space however much the others use.
func TestMemoryIsBounded(t *testing.T) {
	b := &bus{refuse: func(string) error { return fmt.Errorf("away: %w", transport.ErrRefused) }}
	r := outbox.NewRelay(b, &ledger{}, outbox.Options{MemoryBytes: 8 << 20, BacklogBytes: 6 << 20})
	total := 0
	for p := range 10 {
		to := outbox.Destination(fmt.Sprintf("p%d", p))
		for n := range 100 {
			r.Push([]outbox.Record{sizedTo(to, 1000*p+n, 100<<10)})
		}
		for _, line := range r.Queues() {
			if line.To == to {
				total += line.Waiting
				if line.Waiting < 10 || line.Waiting > 60 || !line.MoreInLedger {
					t.Errorf("%s has %d records of 100 KiB in memory, the rest in the ledger: %t", to, line.Waiting, line.MoreInLedger)
				}
			}
		}
	}
	if mib := total / 10; mib > 8+10+1 {
		t.Errorf("%d MiB in all", mib)
	}
}

// TestRefusedIsNotSentAgain checks that Resend does not send a command that was reported as refused
// for good.
func TestRefusedIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Bool
		b := &bus{refuse: func(string) error {
			if open.Load() {
				return nil
			}
			return fmt.Errorf("too large: %w", transport.ErrRefusedForGood)
		}}
		list := commands("shop", 1, 3)
		r := outbox.NewRelay(b, &ledger{records: slices.Clone(list)}, outbox.Options{OnRefused: func(outbox.Record, bool, error) {}})
		r.Push(list)
		defer run(t, r)()
		synctest.Wait()
		open.Store(true)
		r.Resend()
		for range 3 {
			synctest.Wait()
			<-after(t)
		}
		if got := b.taken(); len(got) != 0 {
			t.Errorf("sent %v", got)
		}
	})
}
