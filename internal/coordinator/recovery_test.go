package coordinator_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// An attempt that was answered in time does not time out although the bus has lost its answer: the
// command is sent again, and the participant, which connects a moment later, answers from its inbox.
func TestLostAnswersBeforeTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.answeredWhileStopped()
		w.stopServices()
		w.bus.Forget()
		observer := &overtakes{}
		began := time.Now()
		w.start(coordinator.Config{AnswersLost: true, Observer: observer})
		time.Sleep(coordinator.ReturnTime - time.Second/2) // virtual: the services connect again
		if n := w.bus.Pending(transport.StreamCommands); n != 1 {
			t.Errorf("%d commands are sent again, want 1", n)
		}
		w.services()
		time.Sleep(time.Second) // virtual
		w.expect(w.get("s1"), contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")
		w.nothingTimedOut("s1")
		if n := observer.n.Load(); n != 0 {
			t.Errorf("timers overtook answers %d times", n)
		}
		t.Log("completed after", time.Since(began))
	})
}

// Timers do not wait for long for a participant that stays away, and not at all if nothing is
// pending.
func TestLostAnswersDelayTimersBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.answeredWhileStopped()
		w.stopServices()
		w.bus.Forget()
		observer := &overtakes{}
		w.start(coordinator.Config{AnswersLost: true, Observer: observer})
		time.Sleep(coordinator.ReturnTime - 100*time.Millisecond) // virtual
		if in, _ := w.store.Load(t.Context(), "s1"); in.Steps[0].Do.Reason() != "" {
			t.Errorf("the attempt timed out early: %s", in.Steps[0].Do.Reason())
		}
		time.Sleep(time.Second) // virtual
		if in, _ := w.store.Load(t.Context(), "s1"); in.Steps[0].Do.Reason() == "" {
			t.Error("the attempt did not time out although the participant is away")
		}
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		w.services()
		time.Sleep(time.Minute) // virtual

		// A saga that only waits for a backoff: nothing is pending.
		w.start(coordinator.Config{AnswersLost: true, Observer: observer})
		time.Sleep(time.Second) // virtual
		if _, err := client.New(w.bus).Get(t.Context(), "s1"); err != nil {
			t.Error(err)
		}
		w.expect(w.get("s1"), contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")
		if n := observer.n.Load(); n != 0 {
			t.Errorf("timers overtook answers %d times", n)
		}
	})
}

// measured is a bus that takes a second to report its load.
type measured struct {
	*membus.Bus

	loaded atomic.Bool
	early  atomic.Int32 // commands published before the load was reported
}

func (m *measured) Load(context.Context) (transport.Load, error) {
	time.Sleep(time.Second) // virtual
	m.loaded.Store(true)
	return transport.Load{Streams: map[transport.Stream]transport.StreamLoad{transport.StreamCommands: {Limit: 1 << 20}}}, nil
}

func (m *measured) Publish(ctx context.Context, batch []transport.Envelope) []error {
	for i := range batch {
		if batch[i].Type == transport.TypeCommand && !m.loaded.Load() {
			m.early.Add(1)
		}
	}
	return m.Bus.Publish(ctx, batch)
}

// A starting coordinator sends nothing before it knows how much the bus may hold. Otherwise the
// pending commands of one participant could fill the stream (I13).
func TestTheBusIsMeasuredFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.answeredWhileStopped()
		w.bus.Forget()
		bus := &measured{Bus: w.bus}
		c, err := coordinator.New(coordinator.Config{
			Store: w.store, Bus: bus, Definitions: []*saga.Definition{checkout}, Logger: slog.New(slog.DiscardHandler), Secret: []byte("secret"),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Minute) // virtual
		w.expect(w.get("s1"), contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := bus.early.Load(); n != 0 {
			t.Errorf("%d commands were sent before the bus had reported its load", n)
		}
	})
}
