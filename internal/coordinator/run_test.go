package coordinator_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// ask sends one run request with the given expiry.
func (w *fixture) ask(id contract.SagaID, sku string, hold time.Duration) (*api.Saga, *transport.Envelope) {
	w.t.Helper()
	data, err := json.Marshal(order{sku})
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := w.bus.Request(w.t.Context(), &transport.Envelope{
		Subject: transport.Subjects{}.API(api.MethodRun), Type: transport.TypeRequest, Saga: id, Definition: contract.DefinitionRef{Name: "checkout"},
		Data: data, Expires: time.Now().Add(hold),
	})
	if err != nil {
		w.t.Error(err)
		return nil, &transport.Envelope{}
	}
	if e.Code != "" {
		return nil, e
	}
	var response api.RunResponse
	if err := json.Unmarshal(e.Data, &response); err != nil {
		w.t.Error(err)
	}
	return response.Saga, e
}

// TestRunTellsTheEnd checks that the reply to the request that started a saga has the saga's
// outcome and steps. The reply to a repeated request has them too.
func TestRunTellsTheEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		decide func(action string, attempt int) error
		phase  contract.Phase
		reason string
	}{
		"completed":   {nil, contract.PhaseCompleted, ""},
		"compensated": {func(action string, _ int) error { return refusing(action, "charge") }, contract.PhaseCompensated, "charge"},
		"parked": {func(action string, _ int) error {
			if action == "ship" {
				return errors.New("the van broke down")
			}
			return nil
		}, contract.PhaseParked, "van"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, membus.Options{})
				defer w.close()
				if tt.decide != nil {
					w.when(tt.decide)
				}
				for _, again := range []bool{false, true} {
					s, e := w.ask("s1", "tea", time.Hour)
					if s == nil {
						t.Fatalf("refused: %s", e.Reason)
					}
					if s.Phase != tt.phase || !strings.Contains(s.Reason, tt.reason) || len(s.Steps) != 3 || s.Existed != again || s.Input != nil {
						t.Errorf("answered %+v; again: %t", s, again)
					}
				}
				if _, e := w.ask("s1", "coffee", time.Hour); e.Code != string(api.CodeAlreadyExists) {
					t.Errorf("with another input: %q %s", e.Code, e.Reason)
				}
			})
		})
	}
}

// TestRunSaysWhereTheSagaStands checks that a request that expires is answered with the saga's
// state, and so are other requests that run it in the meantime. All of them can get the outcome
// later.
func TestRunSaysWhereTheSagaStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices()
		began := time.Now()
		s, _ := w.ask("s1", "tea", 3*time.Second)
		if s == nil || s.Phase != contract.PhaseRunning || s.Existed || s.Revision != 1 || s.Definition != checkout.Ref() || s.Steps != nil || time.Since(began) != 3*time.Second {
			t.Errorf("after %s: %+v", time.Since(began), s)
		}
		if s, _ := w.ask("s1", "tea", time.Second); s == nil || s.Phase != contract.PhaseRunning || !s.Existed {
			t.Errorf("the second: %+v", s)
		}
		ends := make(chan *api.Saga, 3)
		for range cap(ends) {
			go func() { s, _ := w.ask("s1", "tea", time.Minute); ends <- s }()
		}
		synctest.Wait()
		w.services()
		for range cap(ends) {
			if s := <-ends; s == nil || s.Phase != contract.PhaseCompleted || !s.Existed {
				t.Errorf("at the end: %+v", s)
			}
		}
	})
}

// TestRunIsNotHeldWhenTooManyAre checks that a request is answered at once, with the saga's state,
// if too many requests are held (I10).
func TestRunIsNotHeldWhenTooManyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		undo := coordinator.FillWaiters(w.start(coordinator.Config{}), "")
		w.stopServices()
		began := time.Now()
		if s, _ := w.ask("s1", "tea", time.Minute); s == nil || s.Phase != contract.PhaseRunning || time.Since(began) > time.Second {
			t.Errorf("after %s: %+v", time.Since(began), s)
		}
		undo()
		w.services()
		if s, err := client.New(w.bus).Run(t.Context(), checkout, order{"tea"}, client.ID("s1")); err != nil || s.Phase != contract.PhaseCompleted || !s.Existed {
			t.Errorf("later: %+v, %v", s, err)
		}
	})
}

// TestStoppingAnswersThoseWhoRun checks that the saga is stored when the coordinator stops, and
// that callers are told to ask again.
func TestStoppingAnswersThoseWhoRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices()
		answers := make(chan *transport.Envelope, 1)
		go func() { _, e := w.ask("s1", "tea", time.Minute); answers <- e }()
		synctest.Wait()
		if err := w.stopCoordinator(); err != nil {
			t.Error(err)
		}
		if e := <-answers; e.Code != string(api.CodeUnavailable) || !strings.Contains(e.Reason, "stopping") {
			t.Errorf("answered %q %s", e.Code, e.Reason)
		}
		w.start(coordinator.Config{})
		w.services()
		if s, err := client.New(w.bus).Run(t.Context(), checkout, order{"tea"}, client.ID("s1")); err != nil || s.Phase != contract.PhaseCompleted || !s.Existed {
			t.Errorf("asked again: %+v, %v", s, err)
		}
	})
}

func refusing(action, refused string) error {
	if action == refused {
		return participant.Reject("no " + refused)
	}
	return nil
}
