package coordinator

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
)

// from returns work from a participant; "" is a start, a timer or a request.
func from(participant string, n int) work {
	return work{input: Input{Event: machine.Event{Participant: participant, Attempt: n}}}
}

// A participant that floods a shard delays only itself: inputs of others are taken in the next turn
// (I10).
func TestTakesTurns(t *testing.T) {
	b := newInbox(1000)
	for n := range 900 {
		b.offer(from("flood", n))
	}
	b.offer(from("bank", 0))
	b.offer(from("", 0))
	b.offer(from("bank", 1))
	var got []string
	for _, w := range b.take(make([]work, 0, 8)) {
		got = append(got, fmt.Sprint(w.input.Event.Participant, w.input.Event.Attempt))
	}
	want := "[flood0 bank0 0 flood1 bank1 flood2 flood3 flood4]"
	if fmt.Sprint(got) != want {
		t.Errorf("taken %v, want %v", got, want)
	}
	b.offer(from("bank", 2))
	if next := b.take(make([]work, 0, 2)); next[0].input.Event.Participant == next[1].input.Event.Participant {
		t.Error("a class that comes again waits for more than a turn")
	}
}

// Compares the inbox with a model: no input is lost or duplicated, each class keeps its order, and
// no class is skipped twice in a row. Neither the total limit nor the half per class is exceeded.
func TestInboxIsFairAndComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 12).Draw(t, "most")
		b := newInbox(most)
		model, sent, size := map[string][]int{}, 0, 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "offer") {
				who := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "who")
				if taken := b.offer(from(who, sent)); taken != (size < most && 2*len(model[who]) < most) {
					t.Fatalf("taken: %v, with %d of %d there, %d of %q", taken, size, most, len(model[who]), who)
				} else if taken {
					model[who] = append(model[who], sent)
					size++
				}
				sent++
				continue
			}
			waiting := map[string]bool{}
			for who, list := range model {
				if len(list) > 0 {
					waiting[who] = true
				}
			}
			classes := len(waiting)
			batch := b.take(make([]work, 0, rapid.IntRange(1, 8).Draw(t, "batch")))
			for i, w := range batch {
				who := w.input.Event.Participant
				if len(model[who]) == 0 || model[who][0] != w.input.Event.Attempt {
					t.Fatalf("%q: taken %d, want the first of %v", who, w.input.Event.Attempt, model[who])
				}
				model[who] = model[who][1:]
				if i < classes {
					if !waiting[who] {
						t.Fatalf("%q has a second turn before others have one", who)
					}
					delete(waiting, who)
				}
				size--
			}
			if len(batch) < cap(batch) && size > 0 || b.len() != size {
				t.Fatalf("%d are left, and %d say so; %d were taken of at most %d", size, b.len(), len(batch), cap(batch))
			}
		}
	})
}

// put waits for room and has priority over offer. It returns when its context ends or the inbox
// closes. Inputs that are in the inbox can still be taken.
func TestPutWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newInbox(4)
		for n := range 3 {
			if got, want := b.offer(from("a", n)), n < 2; got != want {
				t.Errorf("input %d of one participant is taken: %t, and it may have half of four", n, got)
			}
		}
		putFrom := func(ctx context.Context, who string, n int) <-chan error {
			done := make(chan error, 1)
			go func() { done <- b.put(ctx, from(who, n)) }()
			synctest.Wait()
			return done
		}
		put := func(ctx context.Context, n int) <-chan error { return putFrom(ctx, "b", n) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		flood := putFrom(ctx, "a", 3)
		if !b.offer(from("", 0)) {
			t.Error("a start is kept out by a participant that floods")
		}
		if err := <-putFrom(ctx, "c", 0); err != nil {
			t.Errorf("another participant is kept out by one that floods: %v", err)
		}
		gaveUp, first, second := put(ctx, 9), put(t.Context(), 2), put(t.Context(), 3)
		time.Sleep(time.Second)
		synctest.Wait()
		for _, late := range []<-chan error{gaveUp, flood} {
			if err := <-late; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want that its context has ended", err)
			}
		}
		timer := putFrom(t.Context(), "", 1)
		if b.offer(from("", 2)) {
			t.Error("a start is taken before a timer that waits")
		}
		b.take(make([]work, 0, 8))
		if err := errors.Join(<-first, <-second, <-timer); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !b.wait() || b.len() != 3 {
			t.Errorf("%d inputs are there, want 3", b.len())
		}
		for n := 0; b.len() < 4; n++ {
			b.offer(from("c", n))
		}
		late := put(t.Context(), 4)
		b.close()
		if err := <-late; !errors.Is(err, transport.ErrClosed) {
			t.Errorf("%v, want ErrClosed", err)
		}
		if b.offer(from("c", 0)) || !errors.Is(b.put(t.Context(), from("c", 0)), transport.ErrClosed) {
			t.Error("a closed inbox takes more")
		}
		if !b.wait() || len(b.take(make([]work, 0, 8))) != 4 || b.wait() || !b.ended() {
			t.Error("what was in it when it was closed is not taken")
		}
	})
}

// Passing an input through the inbox allocates no memory (hot path).
func TestInboxAllocatesNothing(t *testing.T) {
	b := newInbox(64)
	batch := make([]work, 0, 64)
	names := []string{"a", "b", "c", ""}
	n := testing.AllocsPerRun(100, func() {
		for i := range 60 {
			b.offer(from(names[i%4], i))
		}
		batch = b.take(batch[:0])
	})
	if n > 0 {
		t.Errorf("%.1f allocations for 60 inputs", n)
	}
}
