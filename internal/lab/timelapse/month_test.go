//go:build lab

package timelapse

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

const day = 24 * time.Hour

// lifecycleAge is the default of natsbus.Config.LifecycleAge.
const lifecycleAge = 7 * day

// housekeeping is how late retention may be. The coordinator checks every ten seconds, and the
// server checks the ages of its streams about as often.
const housekeeping = 30 * time.Second

// TestMonth runs one store for a month. One saga ends early and is removed in steps. Another saga
// gets no answer for weeks until it is parked for an operator. The coordinator is stopped most of
// the time, and does the work that came due when it restarts.
func TestMonth(t *testing.T) {
	t.Parallel()
	early := saga.MustDefine[transfer]("early", saga.Compensable("pay", saga.Do(pay), saga.Undo(payBack)))
	// Ten attempts with waits of 1 h, 2 h, 4 h and so on, at most 4 days: about two weeks in all.
	weeks := saga.MustDefine[transfer]("weeks",
		saga.Compensable("pay", saga.Do(pay), saga.Undo(payBack)),
		saga.Pivot("deliver", saga.Do(deliver, saga.Timeout(10*time.Minute), saga.Retry(10, time.Hour, 4*day))))
	config := coordinator.Config{Retention: 3 * day, TombstoneRetention: 20 * day}
	live(t, quiet, func(s *stack) {
		b := s.bank()
		stop := s.serve(b.p)
		s.startCoordinator(config, early, weeks)
		s.start(early, "early")
		s.start(weeks, "weeks")
		synctest.Wait()
		ended := s.get("early").Ended.Sub(s.born)
		stop()

		// Day 3: the saga becomes a tombstone, and a repeated start is still answered.
		s.sleepUntil(ended + config.Retention - time.Second)
		if s.get("early").Removed {
			t.Error("removed before its retention")
		}
		s.sleepUntil(ended + config.Retention + housekeeping)
		if status := s.get("early"); !status.Removed || status.Phase != contract.PhaseCompleted {
			t.Errorf("after its retention: removed %t, phase %s", status.Removed, status.Phase)
		}
		if status := s.start(early, "early"); !status.Existed || !status.Removed {
			t.Errorf("the same start of a removed saga: %+v", status)
		}
		if _, err := s.client.Start(s.t.Context(), early, transfer{701}, client.ID("early")); !errors.Is(err, client.ErrConflict) {
			t.Errorf("another start of a removed saga: %v", err)
		}

		// Days 3 to 17: no coordinator runs. The server removes lifecycle messages when they are a
		// week old, to the second.
		s.stopCoordinator()
		s.sleepUntil(ended + lifecycleAge - time.Second)
		if n := s.held(transport.StreamLifecycle); n != 3 {
			t.Errorf("%d announcements after almost a week, want both starts and one end", n)
		}
		s.sleepUntil(ended + lifecycleAge + housekeeping)
		if n := s.held(transport.StreamLifecycle); n != 0 {
			t.Errorf("%d announcements after more than a week", n)
		}
		s.sleepUntil(17 * day)
		s.startCoordinator(config, early, weeks)
		s.sleepUntil(17*day + time.Minute)
		if !s.get("early").Removed {
			t.Error("the tombstone is gone before its retention")
		}
		// Three days later the tombstone is removed, and the id can be used for a new saga.
		s.sleepUntil(ended + config.TombstoneRetention - time.Second)
		if !s.get("early").Removed {
			t.Error("the tombstone went early")
		}
		s.sleepUntil(ended + config.TombstoneRetention + housekeeping)
		if _, err := s.client.Get(s.t.Context(), "early"); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("after its retention the tombstone answers %v", err)
		}
		if status := s.start(early, "early"); status.Existed {
			t.Errorf("a start after the tombstone: %+v", status)
		}
		s.stopCoordinator()
		s.sleepUntil(26 * day)
		s.startCoordinator(config, early, weeks)
		s.sleepUntil(30*day + 12*time.Hour)
		s.parked("weeks", b)
	})
}

// parked follows a saga until it is parked for an operator, and applies the operator's decision. A
// month after the start, the data is as it was requested.
func (s *stack) parked(id contract.SagaID, b *bank) {
	s.t.Helper()
	status := s.get(id)
	step := status.Steps[1]
	if status.Phase != contract.PhaseParked || step.Attempt != 10 || step.Parked.IsZero() {
		s.t.Fatalf("saga %s is %s, attempt %d (%s); want parked by the last of 10", id, status.Phase, step.Attempt, status.Reason)
	}
	events, err := s.client.History(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 1; i < len(events); i++ {
		if events[i].At.Before(events[i-1].At) {
			s.t.Errorf("event %d of %s is before the one before it: %s, %s", i, id, events[i].At, events[i-1].At)
		}
	}
	s.serve(b.p)
	if _, err := s.client.Operate(s.t.Context(), id, api.Decision{Operation: "compensate", By: "ada", Reason: "nobody delivers any more"}); err != nil {
		s.t.Fatal(err)
	}
	at := s.age()
	synctest.Wait()
	s.want(id, contract.PhaseCompensated, at, 0)
	if cents := b.booked(id); cents != 0 {
		s.t.Errorf("%d cents stay booked", cents)
	}
}

// held returns the number of messages in a stream.
func (s *stack) held(of transport.Stream) int {
	s.t.Helper()
	js, err := jetstream.New(s.coordBus.Conn())
	if err != nil {
		s.t.Fatal(err)
	}
	stream, err := js.Stream(s.t.Context(), s.coordBus.StreamName(of))
	if err != nil {
		s.t.Fatal(err)
	}
	return int(stream.CachedInfo().State.Msgs)
}
