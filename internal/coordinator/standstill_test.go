package coordinator_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
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
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport/membus"
)

// forgetful is a store whose definitions cannot be read.
type forgetful struct{ *memstore.Store }

func (forgetful) Definitions(context.Context) ([]store.Definition, error) { return nil, nil }

// A saga whose definition is missing makes no progress. It is reported once, and continues when the
// definition is registered again.
func TestDefinitionIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices()
		cl := client.New(w.bus)
		if _, err := cl.Start(t.Context(), checkout, order{"tea"}, client.ID("s1")); err != nil {
			t.Fatal(err)
		}
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		var said notes
		c, err := coordinator.New(coordinator.Config{Store: forgetful{w.store}, Bus: w.bus, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		w.stopCoordinator = sync.OnceValue(func() error { cancel(); return <-done })
		time.Sleep(time.Minute) // virtual: the attempt has timed out long ago
		synctest.Wait()
		if n := strings.Count(said.String(), "a saga is blocked"); n != 1 {
			t.Errorf("it is spoken of %d times, want once: %.300s", n, said.String())
		}
		blocked := func(want int) {
			t.Helper()
			if s, err := c.Stats(t.Context()); err != nil || s.Blocked != want {
				t.Errorf("%d sagas are blocked, want %d; %v", s.Blocked, want, err)
			}
		}
		blocked(1)
		for _, method := range []string{"get", "wait"} { // everything that is readable is shown
			var s api.Saga
			if e := w.asks(method, "s1", "", &s); e.Code != "" || s.Phase != contract.PhaseRunning || s.Input == nil || string(s.Input.JSON) != `{"sku":"tea"}` || !strings.Contains(s.Problem, "unknown definition") {
				t.Errorf("%s: %s %s, %+v", method, e.Code, e.Reason, s)
			}
		}
		var history api.HistoryResponse
		if e := w.asks("history", "s1", `{"withSaga":true}`, &history); e.Code != "" || len(history.Events) == 0 || history.Events[0].Type != "started" || !strings.Contains(history.Events[0].Problem, "unknown definition") {
			t.Errorf("history: %s %s, %+v", e.Code, e.Reason, history.Events)
		}
		w.services()
		if err := c.Register(t.Context(), checkout); err != nil {
			t.Fatal(err)
		}
		blocked(0) // at once, whether the saga is due or not
		s, err := cl.Wait(t.Context(), "s1")
		if err != nil || s.Phase != contract.PhaseCompleted {
			t.Errorf("after the definition came back: %+v, %v", s, err)
		}
		blocked(0)
	})
}

// rotten is a store in which one saga cannot be read.
type rotten struct {
	*memstore.Store
	id atomic.Pointer[contract.SagaID]
}

func (r *rotten) Load(ctx context.Context, id contract.SagaID) (*machine.Instance, error) {
	if sick := r.id.Load(); sick != nil && *sick == id {
		return nil, &store.CorruptError{What: "record of saga " + string(id), Why: "its checksum is wrong"}
	}
	return r.Store.Load(ctx, id)
}

// A saga whose record is damaged is counted and named until it can be read. It delays no other
// saga.
func TestRecordIsDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices()
		cl := client.New(w.bus)
		for _, id := range []contract.SagaID{"sick", "well"} {
			if _, err := cl.Start(t.Context(), checkout, order{"tea"}, client.ID(id)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		disk := &rotten{Store: w.store}
		sick := contract.SagaID("sick")
		disk.id.Store(&sick)
		c, err := coordinator.New(coordinator.Config{Store: disk, Bus: w.bus, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		w.stopCoordinator = sync.OnceValue(func() error { cancel(); return <-done })
		time.Sleep(6 * time.Second) // virtual: the first attempts have timed out
		blocked := func(want ...api.BlockedSaga) {
			t.Helper()
			o := w.overview()
			for i := range o.BlockedSagas {
				o.BlockedSagas[i].Since = time.Time{}
			}
			if o.Blocked != len(want) || !slices.Equal(o.BlockedSagas, want) {
				t.Errorf("the overview tells of %d: %v; want %v", o.Blocked, o.BlockedSagas, want)
			}
		}
		blocked(api.BlockedSaga{ID: "sick", Reason: "load saga sick: damaged record: record of saga sick: its checksum is wrong"})
		w.services()
		if s, err := cl.Wait(t.Context(), "well"); err != nil || s.Phase != contract.PhaseCompleted {
			t.Errorf("the other saga: %+v, %v", s, err)
		}
		disk.id.Store(nil)
		if _, err := cl.Cancel(t.Context(), "sick", api.Decision{By: "ada", Reason: "nobody wants it"}); err != nil {
			t.Error(err)
		}
		blocked()
	})
}
