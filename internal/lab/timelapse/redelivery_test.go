//go:build lab

package timelapse

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// once returns a saga of one step with the given timeout.
func once(timeout, wait time.Duration) *saga.Definition {
	return saga.MustDefine[transfer]("once",
		saga.Retriable("pay", saga.Do(pay, saga.Timeout(timeout), saga.Retry(20, wait, wait))))
}

// TestHandlerSlowerThanAckWait checks that a handler may take twelve times AckWait. Its command is
// reported as in progress, so the bus delivers it once.
func TestHandlerSlowerThanAckWait(t *testing.T) {
	t.Parallel()
	const ackWait, takes = 10 * time.Second, 2 * time.Minute
	def := once(time.Hour, time.Hour)
	live(t, natsbus.Config{}, func(s *stack) {
		b := s.bank(participant.AckWait(ackWait))
		b.handle = func(context.Context, int) error { time.Sleep(takes); return nil }
		s.serve(b.p)
		s.startCoordinator(coordinator.Config{}, def)
		at := s.age()
		s.start(def, "s")
		s.sleepUntil(at + takes + ackWait)
		s.want("s", "completed", at+takes, 0)
		if answers, _ := b.answered("s"); len(b.did()) != 1 || answers != 1 {
			t.Errorf("the handler ran %d times, the command was answered %d times", len(b.did()), answers)
		}
	})
}

// TestRedeliveryAfterAckWait checks that a command delivered to a crashed process is redelivered to
// another one exactly AckWait later, and not when its step times out.
func TestRedeliveryAfterAckWait(t *testing.T) {
	t.Parallel()
	const ackWait = 10 * time.Second
	def := once(time.Hour, time.Hour)
	live(t, natsbus.Config{}, func(s *stack) {
		// A process that receives one command and then hangs.
		dying, err := s.connect().Subscribe(s.t.Context(), transport.Subscription{
			Stream: transport.StreamCommands, Name: "bank", Subjects: []string{transport.Subjects{}.Commands("bank")}, AckWait: ackWait, Prefetch: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		s.startCoordinator(coordinator.Config{}, def)
		at := s.age()
		s.start(def, "s")
		if taken, err := dying.Receive(s.t.Context(), 1); err != nil || len(taken) != 1 || s.age() != at {
			t.Fatalf("took %d commands at %s, %v", len(taken), s.age(), err)
		}
		_ = dying.Close()
		b := s.bank(participant.AckWait(ackWait))
		s.serve(b.p)
		s.sleepUntil(at + ackWait - time.Millisecond)
		if calls := b.did(); len(calls) != 0 {
			t.Errorf("delivered again before AckWait: %v", calls)
		}
		s.sleepUntil(at + ackWait + time.Second)
		calls := b.did()
		if len(calls) != 1 || calls[0].at < at+ackWait || calls[0].at > at+ackWait+100*time.Millisecond || calls[0].attempt != 1 {
			t.Fatalf("the handler ran %v; want attempt 1 at %s, give or take what the server batches", calls, at+ackWait)
		}
		s.want("s", "completed", calls[0].at, 0)
	})
}

// TestLostAnswerAndRetryBeyondTheWindow lets the bus confirm an answer and lose it. The next
// attempt comes a minute after the bus's deduplication window (2 min) has closed, so the bus does
// not drop it. The inbox answers it, and there is one effect.
func TestLostAnswerAndRetryBeyondTheWindow(t *testing.T) {
	t.Parallel()
	const timeout = 3 * time.Minute
	def := once(timeout, 2*time.Second)
	live(t, natsbus.Config{}, func(s *stack) {
		b := s.bank()
		var lost atomic.Int32
		s.serveOn(&deaf{s.connect(), func() bool { return lost.Add(1) <= 2 }}, b.p)
		s.startCoordinator(coordinator.Config{}, def)
		at := s.age()
		s.start(def, "s")
		s.sleepUntil(at + 3*(timeout+2*time.Second))
		status := s.get("s")
		s.want("s", "completed", at+2*timeout+2*time.Second, 2*time.Second+2*wakeGrain)
		if status.Steps[0].Attempt != 3 {
			t.Errorf("completed by attempt %d, want 3", status.Steps[0].Attempt)
		}
		if answers, fromInbox := b.answered("s"); len(b.did()) != 1 || answers != 3 || fromInbox != 2 || b.booked("s") != 700 {
			t.Errorf("the handler ran %d times, %d answers, %d from the inbox, %d cents; want 1, 3, 2, 700", len(b.did()), answers, fromInbox, b.booked("s"))
		}
	})
}

// TestSameCommandWithinAndBeyondTheWindow restarts a coordinator, which sends pending messages
// again with the same ids. Within the deduplication window the bus drops them. After it the bank
// receives the same command twice. There is one effect either way.
func TestSameCommandWithinAndBeyondTheWindow(t *testing.T) {
	t.Parallel()
	def := once(time.Hour, time.Hour)
	live(t, natsbus.Config{}, func(s *stack) {
		b := s.bank()
		s.serveOn(&deaf{s.connect(), func() bool { return s.age() < 5*time.Minute }}, b.p)
		s.startCoordinator(coordinator.Config{}, def)
		at := s.age()
		s.start(def, "s")
		synctest.Wait()
		for _, again := range []struct {
			at               time.Duration
			answers, dropped int
		}{
			{time.Minute, 1, 1},                    // dropped, and the window is not extended
			{2*time.Minute + 30*time.Second, 2, 1}, // the first window has closed: delivered, and a new window opens
			{4 * time.Minute, 2, 2},                // dropped
			{6 * time.Minute, 3, 2},                // delivered, and the answer gets through this time
		} {
			s.stopCoordinator()
			s.sleepUntil(at + again.at)
			s.startCoordinator(coordinator.Config{}, def)
			s.sleepUntil(s.age() + time.Second)
			answers, _ := b.answered("s")
			if dropped := s.coordBus.Stats().Duplicates; answers != again.answers || dropped != int64(again.dropped) {
				t.Errorf("sent again after %s: %d deliveries and %d dropped by the bus, want %d and %d", again.at, answers, dropped, again.answers, again.dropped)
			}
		}
		s.want("s", "completed", at+6*time.Minute, 0)
		if len(b.did()) != 1 || b.booked("s") != 700 {
			t.Errorf("the handler ran %d times and booked %d cents, want 1 and 700", len(b.did()), b.booked("s"))
		}
	})
}
