package coordinator_test

import (
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// watchmaker has a wall clock that can be set, and a monotonic clock.
type watchmaker struct {
	began time.Time

	mu  sync.Mutex
	off time.Duration
}

func (w *watchmaker) set(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off += by
}

func (w *watchmaker) wall() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.off)
}

func (w *watchmaker) running() time.Duration { return time.Since(w.began) + time.Hour }

func (w *watchmaker) config() coordinator.Config {
	return coordinator.Config{Clock: w.wall, Running: w.running, Boot: "boot-1"}
}

// settable runs a test with a fixture whose clock can be set.
func settable(t *testing.T, story func(t *testing.T, w *fixture, m *watchmaker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, m := newFixture(t, membus.Options{}), &watchmaker{began: time.Now()}
		defer w.close()
		w.restart(m.config())
		story(t, w, m)
	})
}

// silent stops all services and starts a saga.
func (w *fixture) silent(id contract.SagaID) {
	w.t.Helper()
	w.stopServices()
	if _, err := client.New(w.bus).Start(w.t.Context(), checkout, order{"tea"}, client.ID(id)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *fixture) load(id contract.SagaID) *machine.Instance {
	w.t.Helper()
	in, err := w.store.Load(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return in
}

func (w *fixture) retimed(id contract.SagaID) (reasons []string) {
	w.t.Helper()
	events, err := w.store.History(w.t.Context(), id, 1, machine.MaxHistory)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range events {
		if events[i].Type == contract.EventClockAdjusted {
			reasons = append(reasons, events[i].Reason)
		}
	}
	return reasons
}

// steps lists the steps of the clock to test.
var steps = map[string]time.Duration{"an hour back": -time.Hour, "an hour forward": time.Hour, "a year forward": 365 * 24 * time.Hour}

// Setting the clock neither shortens nor lengthens timeouts and deadlines: a timeout of 5 s takes 5
// s, and a deadline of an hour takes an hour. When
// the fixture is closed, it also checks that each saga's history replays to its stored state (I8).
func TestClockIsSet(t *testing.T) {
	for name, by := range steps {
		t.Run(name, func(t *testing.T) {
			settable(t, func(t *testing.T, w *fixture, m *watchmaker) {
				w.silent("s1")
				time.Sleep(2 * time.Second) // virtual
				due, deadline := w.load("s1").Steps[0].Do.Due(), w.load("s1").Deadline
				m.set(by)
				time.Sleep(2 * time.Second) // virtual: 4 s of 5 have passed
				in := w.load("s1")
				if s := &in.Steps[0].Do; s.Attempt() != 1 || s.Waiting() || !s.Due().Equal(due.Add(by)) || !in.Deadline.Equal(deadline.Add(by)) {
					t.Errorf("after 4 s of 5: %+v, deadline %s; want attempt 1 due at %s, deadline %s", s, in.Deadline, due.Add(by), deadline.Add(by))
				}
				if got := w.retimed("s1"); len(got) != 1 || !strings.Contains(got[0], by.String()) {
					t.Errorf("its history says %q, want once that it was retimed by %s", got, by)
				}
				time.Sleep(1100 * time.Millisecond) // virtual
				if s := &w.load("s1").Steps[0].Do; !s.Waiting() || s.Reason() == "" {
					t.Errorf("after 5.1 s: %+v, want it timed out", s)
				}
				time.Sleep(time.Hour) // virtual
				if in := w.load("s1"); in.Cause == nil {
					t.Errorf("after an hour it is %s, and goes not back", in.Phase)
				}
			})
		})
	}
}

// An event between a step and its detection is stamped by the old clock and retimed. A later event
// is not retimed.
func TestStartsAroundAStep(t *testing.T) {
	for name, by := range steps {
		t.Run(name, func(t *testing.T) {
			settable(t, func(t *testing.T, w *fixture, m *watchmaker) {
				time.Sleep(1500 * time.Millisecond) // virtual: between two looks
				m.set(by)
				w.silent("early")
				time.Sleep(1500 * time.Millisecond) // virtual
				if _, err := client.New(w.bus).Start(t.Context(), checkout, order{"tea"}, client.ID("late")); err != nil {
					t.Fatal(err)
				}
				if early, late := len(w.retimed("early")), len(w.retimed("late")); early != 1 || late != 0 {
					t.Errorf("the one before was retimed %d times, the one after %d times; want 1 and 0", early, late)
				}
				for _, id := range []contract.SagaID{"early", "late"} {
					if left := w.load(id).Steps[0].Do.Due().Sub(m.wall()); left < 3*time.Second || left > 5*time.Second {
						t.Errorf("%s has %s left of its 5 s", id, left)
					}
				}
			})
		})
	}
}

// A step while no coordinator runs is detected at the next start, unless the machine was rebooted.
// If a coordinator crashes while it retimes sagas, the next one continues, and retimes no saga
// twice.
func TestClockIsSetAcrossARestart(t *testing.T) {
	for name, by := range steps {
		t.Run(name, func(t *testing.T) {
			settable(t, func(t *testing.T, w *fixture, m *watchmaker) {
				w.silent("s1")
				w.silent("s2")
				if err := w.stopCoordinator(); err != nil {
					t.Fatal(err)
				}
				m.set(by)
				w.start(m.config())
				time.Sleep(500 * time.Millisecond) // virtual
				if got := w.retimed("s1"); len(got) != 1 {
					t.Fatalf("it was retimed %q", got)
				}
				if s := &w.load("s1").Steps[0].Do; s.Attempt() != 1 || s.Waiting() {
					t.Errorf("it has timed out: %+v", s)
				}
				// Simulate a crash after the marker was saved, with only one of two sagas retimed.
				if err := w.stopCoordinator(); err != nil {
					t.Fatal(err)
				}
				kept, err := w.store.Clock(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				kept.Retimes = true
				kept.Total += by
				if err := w.store.SetClock(t.Context(), kept); err != nil {
					t.Fatal(err)
				}
				w.start(m.config())
				w.restart(m.config())
				if one, two := w.retimed("s1"), w.retimed("s2"); len(one) != 2 || len(two) != 2 {
					t.Errorf("they were retimed %q and %q, want twice each", one, two)
				}
			})
		})
	}
}

// Slewing, sleep and a reboot of the machine are not steps; nor is a step that is reverted.
func TestClockIsNotSet(t *testing.T) {
	settable(t, func(t *testing.T, w *fixture, m *watchmaker) {
		w.silent("s1")
		for range 60 {
			m.set(100 * time.Millisecond) // a tenth of the interval: far more than slewing
			time.Sleep(time.Second)       // virtual
		}
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour) // virtual: it is stopped while the clock is slewed
		m.set(80 * time.Second)
		w.start(m.config())
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		m.set(time.Hour)
		other := m.config()
		other.Boot = "boot-2"
		w.start(other)
		time.Sleep(2 * time.Second) // virtual
		if got := w.retimed("s1"); got != nil {
			t.Errorf("it was retimed %q", got)
		}
	})
}

// A coordinator that does not detect steps keeps the total of steps that were detected earlier.
func TestClockIsNotWatched(t *testing.T) {
	settable(t, func(t *testing.T, w *fixture, m *watchmaker) {
		w.silent("s1")
		m.set(time.Hour)
		time.Sleep(2 * time.Second) // virtual
		w.restart(coordinator.Config{Clock: m.wall})
		time.Sleep(time.Minute) // virtual
		if got := w.retimed("s1"); len(got) != 1 {
			t.Errorf("it was retimed %q, want once", got)
		}
	})
}

// A resumed saga has as much time left as it had when it was paused.
func TestClockIsSetInAPause(t *testing.T) {
	settable(t, func(t *testing.T, w *fixture, m *watchmaker) {
		w.silent("s1")
		time.Sleep(time.Second) // virtual
		operate := func(operation contract.Operation) {
			t.Helper()
			if _, err := client.New(w.bus).Operate(t.Context(), "s1", api.Decision{Operation: operation, By: "kim", Reason: "the bank moves"}); err != nil {
				t.Fatal(err)
			}
		}
		operate("pause")
		m.set(time.Hour)
		time.Sleep(time.Minute) // virtual
		m.set(-2 * time.Hour)
		time.Sleep(time.Minute) // virtual
		operate("resume")
		if left := w.load("s1").Steps[0].Do.Due().Sub(m.wall()); left != 4*time.Second {
			t.Errorf("%s of its 5 s are left, want 4 s", left)
		}
	})
}

// After a step retention pauses for a day of monotonic time, across restarts, and reports the
// pause. It does not pause if an operator confirms the clock.
func TestRetentionWaitsAfterAStep(t *testing.T) {
	if testing.Short() {
		t.Skip("two days of looks at the clock, each second")
	}
	for name, accept := range map[string]bool{"a day": false, "accepted": true} {
		t.Run(name, func(t *testing.T) {
			settable(t, func(t *testing.T, w *fixture, m *watchmaker) {
				w.run("s1")
				m.set(365 * 24 * time.Hour)
				time.Sleep(time.Minute) // virtual
				config := m.config()
				config.AcceptClock = accept
				c := func() *coordinator.Coordinator {
					if err := w.stopCoordinator(); err != nil {
						t.Fatal(err)
					}
					return w.start(config)
				}()
				time.Sleep(23 * time.Hour) // virtual
				if list, _, err := w.store.List(t.Context(), store.Filter{}, store.Page{}); err != nil || (len(list) == 0) != accept {
					t.Errorf("after 23 h %d sagas are kept, %v; accepted: %t", len(list), err, accept)
				}
				said := false
				for _, one := range c.Standstills() {
					said = said || one.Kind == api.StandstillRetention && strings.Contains(one.Fix, "--accept-clock")
				}
				if said == accept {
					t.Errorf("accepted: %t, and it is said to wait: %v", accept, c.Standstills())
				}
				time.Sleep(2 * time.Hour) // virtual
				if list, _, err := w.store.List(t.Context(), store.Filter{}, store.Page{}); err != nil || len(list) != 0 {
					t.Errorf("after 25 h %d sagas are kept, %v", len(list), err)
				}
			})
		})
	}
}

// A step is logged and counted once.
func TestStepIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newFixture(t, membus.Options{}), &watchmaker{began: time.Now()}
		defer w.close()
		var said notes
		counted := &counter{}
		config := m.config()
		config.Logger, config.Observer = slog.New(slog.NewTextHandler(&said, nil)), counted
		w.restart(config)
		m.set(-time.Hour)
		time.Sleep(10 * time.Second) // virtual
		if n := strings.Count(said.String(), "the clock of this machine was set"); n != 1 || counted.steps != 1 {
			t.Errorf("logged %d times, counted %d times", n, counted.steps)
		}
	})
}

type counter struct {
	refusals

	steps int
}

func (c *counter) ClockSet(time.Duration) { c.steps++ }

// If the clock is set while an input waits, the input keeps the time of its arrival, whichever
// clock stamped it. The same holds for an input that is decided again after a conflict.
func TestInputsOfTheClockBefore(t *testing.T) {
	for name, by := range steps {
		t.Run(name, func(t *testing.T) {
			s := memstore.New()
			e, err := coordinator.NewEngine(t.Context(), s, transport.Subjects{}, nil, 16)
			if err != nil {
				t.Fatal(err)
			}
			var total time.Duration
			e.FollowClock(func() time.Duration { return total })
			if err := e.Register(t.Context(), checkout); err != nil {
				t.Fatal(err)
			}
			noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
			step := func(inputs ...coordinator.Input) []coordinator.Result {
				t.Helper()
				out, err := e.Step(t.Context(), inputs)
				if err != nil {
					t.Fatal(err)
				}
				for i := range out.Results {
					if err := out.Results[i].Err; err != nil {
						t.Fatal(err)
					}
				}
				return out.Results
			}
			start := coordinator.Input{Saga: "s1", Definition: checkout.Ref(), Event: machine.Event{Type: contract.EventStarted, At: noon, ID: "s1", Payload: []byte(`{"sku":"tea"}`)}}
			second := start
			second.Saga, second.Event.ID = "s2", "s2"
			step(start)
			total = by
			answer := coordinator.Input{Saga: "s1", Event: machine.Event{
				Type: contract.EventStepAnswered, At: noon.Add(time.Second), Participant: "stock", Step: "reserve", Direction: contract.DirectionDo, Attempt: 1,
				Outcome: contract.OutcomeCompleted, Payload: []byte(`{"shelf":"A7"}`),
			}}
			rs := step(answer, second)
			if in := rs[0].Instance; in.ClockOffset != by || !in.Steps[1].Do.Due().Equal(noon.Add(by+6*time.Second)) {
				t.Errorf("charge is due at %s by a clock of %s, want %s by %s", in.Steps[1].Do.Due(), in.ClockOffset, noon.Add(by+6*time.Second), by)
			}
			if in := rs[1].Instance; in.ClockOffset != by || !in.Started.Equal(noon.Add(by)) {
				t.Errorf("the other one started at %s by a clock of %s, want %s by %s", in.Started, in.ClockOffset, noon.Add(by), by)
			}
			for _, id := range []contract.SagaID{"s1", "s2"} {
				events, err := s.History(t.Context(), id, 1, 10)
				if err != nil {
					t.Fatal(err)
				}
				in, err := s.Load(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				folded, err := machine.Fold(checkout.Plan(), events)
				if err != nil || !reflect.DeepEqual(&folded, in) {
					t.Errorf("I8: %s folds to %+v, %v; stored is %+v", id, folded, err, in)
				}
			}
		})
	}
}
