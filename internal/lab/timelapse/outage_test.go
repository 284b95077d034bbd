//go:build lab

package timelapse

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport/natsbus"
)

// away is the configuration for an outage of hours. It makes clients reconnect every reconnect
// instead of every 200 ms; otherwise reconnecting would be most of the work.
var away = natsbus.Config{Options: []nats.Option{nats.ReconnectWait(reconnect)}}

// back is the time within which all clients have found the server again. It is the sum of the wait
// between two attempts to connect with its jitter (100 ms), and the waits of the relay and the
// clients (at most 2 s and 5 s, plus half of that as jitter).
const (
	reconnect = 5 * time.Second
	back      = reconnect + 8*time.Second
)

// TestBusAwayForHours stops the bus for six hours, with or without loss of its data. Open sagas
// wait: their steps time out and are retried. A start waits at its caller. When the server is back,
// all sagas continue within seconds, and each step takes effect once.
func TestBusAwayForHours(t *testing.T) {
	t.Parallel()
	for name, empty := range map[string]bool{"comes back": false, "comes back empty": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live(t, away, func(s *stack) { busAway(t, s, empty) })
		})
	}
}

func busAway(t *testing.T, s *stack, empty bool) {
	const outage, sagas = 6 * time.Hour, 20
	def := saga.MustDefine[transfer]("outage",
		saga.Compensable("pay", saga.Do(pay), saga.Undo(payBack)),
		saga.Retriable("confirm", saga.Do(confirm, saga.Timeout(time.Minute), saga.Retry(10_000, time.Second, 5*time.Minute))))
	b := s.bank()
	s.serve(b.p)
	s.startCoordinator(coordinator.Config{}, def)
	lasting := client.New(s.connect(), client.GiveUp(2*outage))
	id := func(n int) contract.SagaID { return contract.SagaID(fmt.Sprint("s-", n)) }
	for n := range sagas {
		s.start(def, id(n))
	}
	synctest.Wait()
	s.stopServer()
	if empty {
		if err := os.RemoveAll(filepath.Join(s.dir, "nats")); err != nil {
			t.Fatal(err)
		}
	}
	down := s.age()
	started := make(chan error, 1)
	go func() {
		_, err := lasting.Start(s.t.Context(), def, transfer{700}, client.ID(id(sagas)))
		started <- err
	}()
	s.sleepUntil(down + outage)
	select {
	case err := <-started:
		t.Errorf("a start was answered without a bus: %v", err)
	default:
	}
	// However many attempts were made in those hours, each saga has only one command enqueued, and
	// only that waits for the bus (I10).
	if stats, err := s.coord.Stats(s.t.Context()); err != nil || stats.OutboxBacklog > sagas {
		t.Errorf("%d messages of %d sagas wait for the bus, %v", stats.OutboxBacklog, sagas, err)
	}
	office := s.office()
	s.startServer()
	select {
	case err := <-started:
		if err != nil {
			t.Errorf("the start that waited for the bus: %v", err)
		}
	case <-time.After(outage):
		t.Fatal("the start that waited for the bus waits still")
	}
	if took := s.age() - down - outage; took > back {
		t.Errorf("the start that waited was answered %s after the bus came back, want %s", took, back)
	}
	s.serve(office)
	// The longest wait is that of an attempt made just before the server was back: its timeout
	// and the following backoff.
	s.sleepUntil(down + outage + back + time.Minute + 5*time.Minute)
	for n := range sagas + 1 {
		if status := s.get(id(n)); status.Phase != contract.PhaseCompleted {
			t.Errorf("saga %s is %s after the bus came back", id(n), status.Phase)
		}
		if cents := b.booked(id(n)); cents != 700 {
			t.Errorf("saga %s booked %d cents", id(n), cents)
		}
	}
	if calls := b.did(); len(calls) != sagas+1 {
		t.Errorf("the bank's handler ran %d times for %d sagas", len(calls), sagas+1)
	}
}

// TestCoordinatorAwayForAWeek starts a coordinator a week after it was stopped, with timers that
// came due meanwhile. They fire at once, each once, and none early.
func TestCoordinatorAwayForAWeek(t *testing.T) {
	t.Parallel()
	const week = 7 * 24 * time.Hour
	live(t, quiet, func(s *stack) {
		overdue := saga.MustDefine[transfer]("overdue", saga.Deadline(24*time.Hour),
			saga.Compensable("pay", saga.Do(pay), saga.Undo(payBack)),
			saga.Compensable("deliver", saga.Do(deliver, saga.Timeout(time.Minute), saga.Retry(1000, time.Hour, 12*time.Hour)), saga.NothingToUndo()))
		later := saga.MustDefine[transfer]("later", saga.Deadline(week+time.Hour),
			saga.Compensable("deliver", saga.Do(deliver, saga.Timeout(2*week), saga.Retry(1, 0, 0)), saga.NothingToUndo()))
		b := s.bank()
		stop := s.serve(b.p)
		s.startCoordinator(coordinator.Config{}, overdue, later)
		at := s.age()
		const sagas = 50
		id := func(n int) contract.SagaID { return contract.SagaID(fmt.Sprint("s-", n)) }
		for n := range sagas {
			s.start(overdue, id(n))
		}
		s.start(later, "later")
		synctest.Wait()
		s.stopCoordinator()
		stop()
		s.sleepUntil(at + week)
		s.serve(b.p)
		if status := len(b.did()); status != sagas {
			t.Fatalf("the bank was asked %d times", status)
		}
		s.startCoordinator(coordinator.Config{}, overdue, later)
		// The attempt in flight a week ago has timed out and the deadline has passed. Recovery
		// takes one check of the timers and the undo.
		s.sleepUntil(at + week + time.Minute + wakeGrain)
		for n := range sagas {
			s.want(id(n), contract.PhaseCompensated, at+week, wakeGrain)
			if cents := b.booked(id(n)); cents != 0 {
				t.Errorf("%s: %d cents stay booked", id(n), cents)
			}
		}
		if calls := b.did(); len(calls) != 2*sagas {
			t.Errorf("the bank was asked %d times, want %d do's and as many undo's", len(calls), sagas)
		}
		if status := s.get("later"); status.Phase != contract.PhaseRunning {
			t.Errorf("the saga whose deadline is in an hour is %s", status.Phase)
		}
	})
}

// TestAnswersOutliveTheirTimeouts stops the coordinator for longer than all timeouts together,
// while every step is answered in time. The coordinator takes in the answers on the bus before it
// runs timers, so no step is retried and no saga is compensated.
func TestAnswersOutliveTheirTimeouts(t *testing.T) {
	t.Parallel()
	live(t, quiet, func(s *stack) {
		def := saga.MustDefine[transfer]("answered",
			saga.Compensable("pay", saga.Do(pay, saga.Timeout(time.Minute), saga.Retry(1, 0, 0)), saga.Undo(payBack)))
		const sagas = 300
		s.startCoordinator(coordinator.Config{}, def)
		id := func(n int) contract.SagaID { return contract.SagaID(fmt.Sprint("s-", n)) }
		for n := range sagas {
			s.start(def, id(n))
		}
		s.sleepUntil(s.age() + time.Second)
		at := s.age()
		s.stopCoordinator()
		s.serve(s.bank().p)
		s.sleepUntil(at + 24*time.Hour)
		s.startCoordinator(coordinator.Config{}, def)
		s.sleepUntil(at + 24*time.Hour + time.Minute)
		for n := range sagas {
			status := s.get(id(n))
			if status.Phase != contract.PhaseCompleted || status.Revision != 2 {
				t.Fatalf("saga %s is %s (%s) after %d events, want completed after its start and its answer", id(n), status.Phase, status.Reason, status.Revision)
			}
		}
	})
}
