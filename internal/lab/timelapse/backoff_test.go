//go:build lab

package timelapse

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// wakeGrain is how late a timer may fire because timers are batched. It is twice the coordinator's
// own interval, because a saga that becomes due during a wake-up waits for the next one.
const wakeGrain = 10 * time.Millisecond

// TestBackoffIsAsDeclared checks that a failing step is attempted exactly as often and as late as
// its definition says. The waits double from the first to the maximum, and jitter leaves between
// half and all of each. Each attempt comes at the time in the status, at most wakeGrain late and
// never early. The last failure starts compensation at once.
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
			if len(calls) != n+1 { // including the previous call
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
		s.want("s", contract.PhaseCompensated, at, wakeGrain)
		if cents := b.booked("s"); cents != 0 {
			t.Errorf("%d cents stay booked", cents)
		}
	})
}

// TestDeadlineOfDays checks that a saga is compensated at its deadline, to the millisecond, however
// late its next attempt would be.
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
		if status := s.get("s"); status.Phase != contract.PhaseRunning || b.booked("s") != 700 {
			t.Errorf("just before the deadline the saga is %s and %d cents are booked", status.Phase, b.booked("s"))
		}
		s.sleepUntil(due + time.Minute + wakeGrain) // an attempt in flight is answered first
		s.want("s", contract.PhaseCompensated, due, time.Minute+wakeGrain)
		if cents := b.booked("s"); cents != 0 {
			t.Errorf("%d cents stay booked", cents)
		}
		if n, _ := b.answered("s"); n != 2 {
			t.Errorf("the bank answered %d times, want its do and its undo", n)
		}
	})
}

// TestServiceAwayForDays checks that a service that is away for days misses no command and receives
// none of the expired attempts. Each attempt left the bus at its end
// (docs/adr/0020-commands-expire.md). The service receives the next attempt.
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
			lie, next = 1, time.Time{} // the newest attempt has not expired and is delivered at once
		}
		if asked < 12 || asked > 12*2+12 { // a wait is 3 to 6 h; the first ones are shorter
			t.Errorf("%d attempts in three days with a cap of 6 h", asked)
		}
		if n := s.held(transport.StreamCommands); n != lie {
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
		s.want("s", contract.PhaseCompleted, at, wakeGrain)
	})
}
