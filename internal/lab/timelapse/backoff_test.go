//go:build lab

package timelapse

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// wakeGrain is how late a timer may be on account of batching: the coordinator's
// own, twice, because what is woken while others are being woken waits for the
// next look.
const wakeGrain = 10 * time.Millisecond

// A step that fails is attempted exactly as often and as late as its definition
// says: the waits double from the first to the cap, of which the jitter leaves
// between a half and all; each attempt comes when the status said it would, never
// earlier and at most wakeGrain later; the last failure turns the saga round at
// once.
func TestBackoffIsAsDeclared(t *testing.T) {
	t.Parallel()
	const attempts, first, longest = 9, time.Second, time.Minute
	def := saga.MustDefine[transfer]("schedule",
		saga.Compensable("before", saga.Do(pay), saga.Undo(payBack)),
		saga.Compensable("pay", saga.Do(pay, saga.Retry(attempts, first, longest)), saga.Undo(payBack)))
	live(t, natsbus.Config{}, func(s *stack) {
		b := s.bank()
		b.handle = func(ctx context.Context, _ int) error {
			if calls := b.did(); calls[len(calls)-1].key.Step == "pay" && calls[len(calls)-1].key.Direction == contract.DirectionDo {
				return errors.New("closed")
			}
			return nil
		}
		s.serve(b.p)
		s.startCoordinator(coordinator.Config{}, def)
		started := s.age()
		s.start(def, "s")
		synctest.Wait()
		at := started
		for n := 1; n < attempts; n++ {
			calls := b.did()
			if len(calls) != n+1 { // with the call of before
				t.Fatalf("at %s the bank was asked %d times, want %d", s.age(), len(calls), n+1)
			}
			if late := calls[n].at - at; calls[n].attempt != n || late < 0 || late > wakeGrain {
				t.Errorf("attempt %d came at %s, want attempt %d at %s", calls[n].attempt, calls[n].at, n, at)
			}
			step := s.get("s").Steps[1]
			at = step.Due.Sub(s.born)
			full := min(first<<(n-1), longest)
			if wait := at - calls[n].at; wait < full/2 || wait > full {
				t.Errorf("the wait after attempt %d is %s, want %s to %s", n, wait, full/2, full)
			}
			s.sleepUntil(at - time.Nanosecond)
			if got := len(b.did()); got != n+1 {
				t.Errorf("attempt %d came before its time", got)
			}
			s.sleepUntil(at + wakeGrain)
		}
		s.want("s", contract.Compensated, at, wakeGrain)
		if cents := b.booked("s"); cents != 0 {
			t.Errorf("%d cents stay booked", cents)
		}
	})
}

// A saga that is not done in days goes back when its deadline says so, to the
// millisecond, however far away its next attempt is.
func TestDeadlineOfDays(t *testing.T) {
	t.Parallel()
	const deadline = 2*24*time.Hour + 7*time.Minute
	def := saga.MustDefine[transfer]("patient", saga.Deadline(deadline),
		saga.Compensable("pay", saga.Do(pay), saga.Undo(payBack)),
		saga.Compensable("deliver", saga.Do(deliver, saga.Timeout(time.Minute), saga.Retry(1000, time.Hour, 12*time.Hour)), saga.NothingToUndo()))
	live(t, quiet, func(s *stack) {
		b := s.bank()
		stop := s.serve(b.p)
		s.startCoordinator(coordinator.Config{}, def)
		due := s.age() + deadline
		s.start(def, "s")
		synctest.Wait()
		stop()
		s.sleepUntil(due - time.Second)
		s.serve(b.p)
		s.sleepUntil(due - time.Nanosecond)
		if status := s.get("s"); status.Phase != contract.Running || b.booked("s") != 700 {
			t.Errorf("just before the deadline the saga is %s and %d cents are booked", status.Phase, b.booked("s"))
		}
		s.sleepUntil(due + time.Minute + wakeGrain) // an attempt that is under way is answered first
		s.want("s", contract.Compensated, due, time.Minute+wakeGrain)
		if cents := b.booked("s"); cents != 0 {
			t.Errorf("%d cents stay booked", cents)
		}
		if n, _ := b.answered("s"); n != 2 {
			t.Errorf("the bank answered %d times, want its do and its undo", n)
		}
	})
}

// A service that is away for days misses nothing, and finds none of the attempts that are
// over: each has left the bus at its end (docs/adr/0020-commands-expire.md). It is asked by
// the next one.
func TestServiceAwayForDays(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine[transfer]("daily",
		saga.Retriable("pay", saga.Do(pay, saga.Timeout(time.Minute), saga.Retry(1000, time.Minute, 6*time.Hour))))
	live(t, quiet, func(s *stack) {
		s.startCoordinator(coordinator.Config{}, def)
		s.start(def, "s")
		s.sleepUntil(3 * 24 * time.Hour)
		step := s.get("s").Steps[0]
		asked, lie, next := step.Attempt, 0, step.Due
		if !step.Waiting {
			lie, next = 1, time.Time{} // the newest attempt is not over, and is taken at once
		}
		if asked < 12 || asked > 12*2+12 { // 6 h at most, half of it at least, and the first ones
			t.Errorf("%d attempts in three days with a cap of 6 h", asked)
		}
		if n := s.held(transport.Commands); n != lie {
			t.Errorf("%d commands lie on the bus after %d attempts, want %d", n, asked, lie)
		}
		b := s.bank()
		s.serve(b.p)
		synctest.Wait()
		at := s.age()
		if !next.IsZero() {
			if calls := b.did(); len(calls) != 0 {
				t.Errorf("the bank ran %v between two attempts", calls)
			}
			at += time.Until(next)
		}
		s.sleepUntil(at + wakeGrain)
		if calls := b.did(); len(calls) != 1 || calls[0].at < at || calls[0].at > at+wakeGrain {
			t.Errorf("the bank ran %v, want it once, at %s", calls, at)
		}
		s.want("s", contract.Completed, at, wakeGrain)
	})
}
