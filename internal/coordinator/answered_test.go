package coordinator_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// cable is a bus whose answers reach the coordinator only while the cable is plugged in.
type cable struct {
	*membus.Bus

	mute bool // whether it cannot report its content

	mu      sync.Mutex
	plugged chan struct{} // closed while plugged in
	away    bool          // whether the bus is unreachable while unplugged
}

func newCable(bus *membus.Bus) *cable { return &cable{Bus: bus, plugged: make(chan struct{})} }

func (c *cable) plug() { close(c.plugged) }

func (c *cable) unplug(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plugged, c.away = make(chan struct{}), away
}

func (c *cable) state() (plugged <-chan struct{}, away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plugged, c.away
}

func (c *cable) Subscribe(ctx context.Context, sub transport.Subscription) (transport.Source, error) {
	source, err := c.Bus.Subscribe(ctx, sub)
	if err != nil || sub.Stream != transport.StreamEvents {
		return source, err
	}
	end := &cableEnd{source.(*membus.Source), c}
	if c.mute {
		return struct{ transport.Source }{end}, nil
	}
	return end, nil
}

type cableEnd struct {
	*membus.Source

	cable *cable
}

func (e *cableEnd) Receive(ctx context.Context, most int) ([]transport.Delivery, error) {
	for {
		plugged, _ := e.cable.state()
		select {
		case <-plugged:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		batch, err := e.Source.Receive(ctx, most)
		if now, _ := e.cable.state(); now == plugged || err != nil {
			return batch, err
		}
		for _, d := range batch { // unplugged in the meantime
			d.Nak(0)
		}
	}
}

func (e *cableEnd) Newest(ctx context.Context) (uint64, error) {
	plugged, away := e.cable.state()
	select {
	case <-plugged:
	default:
		if away {
			return 0, errors.New("no connection")
		}
	}
	return e.Source.Newest(ctx)
}

// overtakes counts the calls of Observer.TimersOvertook.
type overtakes struct {
	refusals

	n atomic.Int32
}

func (o *overtakes) TimersOvertook() { o.n.Add(1) }

// answeredWhileStopped leaves a saga without a running coordinator. The first answer is on the bus,
// and the attempt has timed out since.
func (w *fixture) answeredWhileStopped() {
	w.t.Helper()
	asked := make(chan struct{})
	w.when(func(action string, _ int) error {
		if action == "reserve" {
			close(asked)
			time.Sleep(time.Second) // virtual: the answer comes when the coordinator is stopped
		}
		return nil
	})
	if _, err := client.New(w.bus).Start(w.t.Context(), checkout, order{"tea"}, client.ID("s1")); err != nil {
		w.t.Fatal(err)
	}
	<-asked
	if err := w.stopCoordinator(); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(time.Minute) // virtual
	w.when(func(string, int) error { return nil })
}

func (w *fixture) get(id contract.SagaID) *api.Saga {
	w.t.Helper()
	s, err := client.New(w.bus).Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *fixture) nothingTimedOut(id contract.SagaID) {
	w.t.Helper()
	events, err := w.store.History(w.t.Context(), id, 1, machine.MaxHistory)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range events {
		if events[i].Type == contract.EventTimerFired {
			w.t.Errorf("event %d of %s: a timer ran at %s", i+1, id, events[i].At)
		}
	}
}

// phase returns a saga's phase in the store.
func (w *fixture) phase(id contract.SagaID) contract.Phase {
	w.t.Helper()
	in, err := w.store.Load(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return in.Phase
}

// A starting coordinator receives the answers on the bus before timers fire, even if the answers
// arrive after the first look at the timers. An attempt that was answered in time does not time
// out.
func TestAnswersBeforeTimersAtTheStart(t *testing.T) {
	for name, mute := range map[string]bool{"the bus tells": false, "the bus cannot tell": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, membus.Options{})
				defer w.close()
				w.answeredWhileStopped()
				slow := newCable(w.bus)
				slow.mute = mute
				w.start(coordinator.Config{Bus: slow})
				time.Sleep(coordinator.QuietFor / 2) // virtual: the bus is slow to deliver
				slow.plug()
				time.Sleep(time.Second) // virtual
				w.expect(w.get("s1"), contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")
				w.nothingTimedOut("s1")
			})
		})
	}
}

// While the bus is unreachable, timers wait indefinitely; then they wait for the answers on it.
func TestTimersWaitForTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.answeredWhileStopped()
		gone := newCable(w.bus)
		gone.unplug(true)
		observer := &overtakes{}
		w.start(coordinator.Config{Bus: gone, Observer: observer})
		time.Sleep(time.Hour - 2*time.Minute) // virtual: within the saga's deadline
		if phase := w.phase("s1"); phase != contract.PhaseRunning {
			t.Errorf("without a bus the saga is %s", phase)
		}
		gone.plug()
		time.Sleep(time.Minute) // virtual
		w.expect(w.get("s1"), contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")
		w.nothingTimedOut("s1")
		if n := observer.n.Load(); n != 0 {
			t.Errorf("timers overtook answers %d times", n)
		}
	})
}

// An answer that is never received delays timers by at most half a minute, which is counted. It
// delays nothing else.
func TestTimersWaitForAnswersAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.answeredWhileStopped()
		stuck := newCable(w.bus)
		observer := &overtakes{}
		w.start(coordinator.Config{Bus: stuck, Observer: observer})
		if _, err := client.New(w.bus).Start(t.Context(), checkout, order{"tea"}, client.ID("s2")); err != nil {
			t.Errorf("a start has to wait: %v", err)
		}
		time.Sleep(coordinator.MaxBehind - time.Second) // virtual
		if in, _ := w.store.Load(t.Context(), "s1"); in.Steps[0].Do.Attempt() != 1 || observer.n.Load() != 0 {
			t.Errorf("before %s: attempt %d, %d times overtaken", coordinator.MaxBehind, in.Steps[0].Do.Attempt(), observer.n.Load())
		}
		time.Sleep(2 * time.Second) // virtual
		if in, _ := w.store.Load(t.Context(), "s1"); in.Steps[0].Do.Reason() == "" || observer.n.Load() != 1 {
			t.Errorf("after %s: %+v, %d times overtaken", coordinator.MaxBehind, in.Steps[0], observer.n.Load())
		}
		stuck.plug()
		time.Sleep(time.Minute) // virtual
	})
}

// An answer that was returned to the bus once does not delay timers, however long its redelivery
// takes.
func TestTimersDoNotWaitForWhatWasGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New(membus.Options{})
		defer bus.Close()
		source, err := bus.Subscribe(t.Context(), transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
		if err != nil {
			t.Fatal(err)
		}
		overtook := 0
		answered := coordinator.NewAnswered(source.(transport.Tracker), func() { overtook++ })
		until := func() time.Time {
			t.Helper()
			at, err := answered.Until(t.Context(), time.Now(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		publish := func() {
			t.Helper()
			e := transport.Envelope{Subject: "saga.event.stock.s1.1.reserve.do.1", Type: transport.TypeCompleted}
			if errs := bus.Publish(t.Context(), []transport.Envelope{e}); errs != nil {
				t.Fatal(errs)
			}
		}
		take := func() transport.Delivery {
			t.Helper()
			batch, err := source.Receive(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			return batch[0]
		}
		publish()
		first := time.Now()
		if at := until(); !at.IsZero() {
			t.Errorf("an answer lies on the bus, and timers run until %s", at)
		}
		time.Sleep(time.Second) // virtual
		publish()               // later than the time being checked
		if at := until(); !at.IsZero() {
			t.Errorf("the answer still lies on the bus, and timers run until %s", at)
		}
		take().Nak(time.Hour)
		if at := until(); !at.Equal(first) {
			t.Errorf("timers run until %s, want the moment of the question, %s", at, first)
		}
		if at := until(); !at.IsZero() {
			t.Errorf("a later answer lies on the bus, and timers run until %s", at)
		}
		take().Ack()
		time.Sleep(coordinator.MaxBehind) // virtual: the first answer was returned before this question
		if at := until(); at.IsZero() || overtook != 1 {
			t.Errorf("timers run until %s, %d times overtaken", at, overtook)
		}
	})
}
