package coordinator_test

import (
	"context"
	"strings"
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
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// lateStore is a store whose next Load blocks once it is armed.
type lateStore struct {
	store.Store
	armed atomic.Bool
	gate  chan struct{}
}

func (s *lateStore) Load(ctx context.Context, id contract.SagaID) (*machine.Instance, error) {
	if s.armed.CompareAndSwap(true, false) {
		<-s.gate
	}
	return s.Store.Load(ctx, id)
}

// standing returns a fixture whose saga s1 waits for a service, and whose store can be blocked.
func standing(t *testing.T) (*fixture, *lateStore, *coordinator.Coordinator) {
	t.Helper()
	w := newFixture(t, membus.Options{})
	if err := w.stopCoordinator(); err != nil {
		t.Fatal(err)
	}
	stuck := &lateStore{Store: w.store, gate: make(chan struct{})}
	c := w.start(coordinator.Config{Store: stuck})
	w.stopServices()
	if _, err := client.New(w.bus).Start(t.Context(), checkout, order{"tea"}, client.ID("s1")); err != nil {
		t.Fatal(err)
	}
	return w, stuck, c
}

// TestWaitNeedsNoLook checks that a caller that waits for a saga not at rest learns its outcome
// even if the store does not answer. So does a caller that comes later.
func TestWaitNeedsNoLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stuck, _ := standing(t)
		defer w.close()
		c := client.New(w.bus)
		stuck.armed.Store(true)
		ends := make(chan contract.Phase, 3)
		for range cap(ends) {
			go func() {
				s, err := c.Wait(t.Context(), "s1")
				if err != nil {
					t.Error(err)
					s = &api.Saga{}
				}
				ends <- s.Phase
			}()
		}
		synctest.Wait() // all are registered
		w.services()
		for range cap(ends) {
			if phase := <-ends; phase != contract.PhaseCompleted {
				t.Errorf("the saga is %s", phase)
			}
		}
		if !stuck.armed.Load() {
			t.Error("the store was asked where the saga stands")
		}
		close(stuck.gate)
		if s, err := c.Wait(t.Context(), "s1"); err != nil || s.Phase != contract.PhaseCompleted || stuck.armed.Load() {
			t.Errorf("afterwards: %+v, %v; the store was not asked: %t", s, err, stuck.armed.Load())
		}
	})
}

// TestBriefWait checks that, for a saga not at rest, a caller that asks for a brief status gets it
// without a read of the store. Others get the full status.
func TestBriefWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stuck, co := standing(t)
		defer w.close()
		wait := func(data string) (*transport.Envelope, api.Saga) {
			e, err := w.bus.Request(t.Context(), &transport.Envelope{
				Subject: transport.Subjects{}.API(api.MethodWait), Type: transport.TypeRequest, Data: of("s1", data, false), Expires: time.Now().Add(time.Minute),
			})
			if err != nil {
				t.Fatal(err)
			}
			if e.Code != "" {
				return e, api.Saga{}
			}
			return e, *sagaIn(t, e)
		}
		stuck.armed.Store(true)
		if _, s := wait(`{"brief":true,"timeout":"1s"}`); s.ID != "s1" || s.Phase != contract.PhaseRunning || s.Revision != 1 || s.Steps != nil || !stuck.armed.Load() {
			t.Errorf("briefly: %+v; the store was not asked: %t", s, stuck.armed.Load())
		}
		undo := coordinator.FillWaiters(co, "") // the request cannot be held then, but is answered
		if _, s := wait(`{"brief":true,"timeout":"1s"}`); s.ID != "s1" || s.Revision != 1 || s.Steps != nil || !stuck.armed.Load() {
			t.Errorf("briefly, when too many wait: %+v; the store was not asked: %t", s, stuck.armed.Load())
		}
		stuck.armed.Store(false)
		if _, s := wait(`{"timeout":"1s"}`); len(s.Steps) != 3 {
			t.Errorf("when too many wait: %+v", s)
		}
		undo()
		for _, data := range []string{`{"timeout":"1s"}`, `{"brief":false,"timeout":"0s"}`} {
			if _, s := wait(data); s.Phase != contract.PhaseRunning || len(s.Steps) != 3 {
				t.Errorf("with %q: %+v", data, s)
			}
		}
		if e, _ := wait(`{"short":true}`); e.Code != string(api.CodeInvalidArgument) || !strings.Contains(e.Reason, "short") {
			t.Errorf("with another field: %q %s", e.Code, e.Reason)
		}
		w.restart(coordinator.Config{}) // the new coordinator does not know that it is not at rest
		if _, s := wait(`{"brief":true,"timeout":"1s"}`); s.Phase != contract.PhaseRunning {
			t.Errorf("after a restart: %+v", s)
		}
		w.services()
		if _, s := wait(`{"brief":true,"timeout":"1s"}`); s.Phase != contract.PhaseCompleted || len(s.Steps) != 3 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

// A caller that waits for an ended saga learns its outcome, whatever other inputs arrive before the
// coordinator has read the saga. It does not get the refusal of another caller (I9).
func TestWaitIsNotAnsweredWithAnothersRefusal(t *testing.T) {
	for name, late := range map[string]func(t *testing.T, w *fixture){
		"a late answer": func(t *testing.T, w *fixture) {
			e := transport.Envelope{Subject: "saga.event.bank.s1.9bkkzr8qo0.charge.do.1", Type: transport.TypeCompleted}
			if errs := w.bus.Publish(t.Context(), []transport.Envelope{e}); errs != nil {
				t.Error(errs)
			}
		},
		"an operator's operation": func(t *testing.T, w *fixture) {
			_, _ = client.New(w.bus).Cancel(t.Context(), "s1", api.Decision{By: "ann", Reason: "too late"})
		},
		"the start again": func(t *testing.T, w *fixture) {
			if s, err := client.New(w.bus).Start(t.Context(), checkout, order{"tea"}, client.ID("s1")); err != nil || !s.Existed {
				t.Errorf("started again: %+v, %v", s, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, membus.Options{})
				defer w.close()
				slow := &lateStore{Store: w.store, gate: make(chan struct{})}
				w.restart(coordinator.Config{Store: slow})
				w.run("s1")
				slow.armed.Store(true)
				replies := make(chan *transport.Envelope, 1)
				go func() {
					e, err := w.bus.Request(t.Context(), &transport.Envelope{Subject: transport.Subjects{}.API(api.MethodWait), Type: transport.TypeRequest, Data: []byte(`{"id":"s1"}`)})
					if err != nil {
						t.Error(err)
					}
					replies <- e
				}()
				synctest.Wait() // the request is registered, and its read is blocked
				late(t, w)
				synctest.Wait()
				close(slow.gate)
				if e := <-replies; e.Code != "" {
					t.Errorf("refused: %s: %s", e.Code, e.Reason)
				} else if s := sagaIn(t, e); s.Phase != contract.PhaseCompleted || s.Existed {
					t.Errorf("answered %+v", s)
				}
			})
		})
	}
}
