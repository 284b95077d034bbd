package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// TestAnnouncementsShowTheSaga checks that the data of each announcement is the saga after the
// event, as the history shows it, without its steps and what follows from them.
func TestAnnouncementsShowTheSaga(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fixtureWithout(t, membus.Options{Retain: 100})
		defer w.close()
		c := w.start(coordinator.Config{})
		listener, err := w.bus.Subscribe(t.Context(), transport.Subscription{Stream: transport.StreamLifecycle, Name: "listener"})
		if err != nil {
			t.Fatal(err)
		}
		broken := errors.New("no connection")
		w.when(func(action string, _ int) error {
			if action == "charge" {
				return participant.Reject("the card is declined")
			}
			return nil
		})
		w.run("rejected")
		w.when(func(string, int) error { return broken })
		caller := client.New(w.bus)
		if _, err := caller.Start(t.Context(), checkout, order{"tea"}, client.ID("operated")); err != nil {
			t.Fatal(err)
		}
		for _, operation := range []contract.Operation{contract.OperationPause, contract.OperationResume, contract.OperationCancel} {
			if _, err := caller.Operate(t.Context(), "operated", api.Decision{Operation: operation, By: "kim", Reason: "moving the bank"}); err != nil {
				t.Fatal(err)
			}
		}
		w.when(func(string, int) error { return nil })
		if _, err := caller.Wait(t.Context(), "operated"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()

		shown := map[contract.SagaID]map[uint64]*api.Saga{}
		for _, id := range []contract.SagaID{"rejected", "operated"} {
			response, err := c.Serve(t.Context(), api.MethodHistory, &transport.Envelope{}, &api.HistoryRequest{ID: id, WithSaga: true})
			if err != nil {
				t.Fatal(err)
			}
			shown[id] = map[uint64]*api.Saga{}
			for _, event := range response.(*api.HistoryResponse).Events {
				shown[id][event.Revision] = event.Saga
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ended, paused := 0, 0
		for {
			batch, err := listener.Receive(ctx, 100)
			if err != nil {
				break
			}
			for _, d := range batch {
				var announced api.Saga
				if err := json.Unmarshal(d.Envelope().Data, &announced); err != nil {
					t.Fatal(err)
				}
				want := shown[announced.ID][announced.Revision]
				if diff := cmp.Diff(want, &announced, cmpopts.IgnoreFields(api.Saga{}, "Steps", "Legal", "Undo", "PastPivot", "Input")); diff != "" {
					t.Errorf("%s is not the saga (-history +announced):\n%s", d.Envelope().Subject, diff)
				}
				if !announced.Ended.IsZero() {
					ended++
				}
				if announced.Paused != nil {
					paused++
				}
				d.Ack()
			}
		}
		if ended != 2 || paused != 1 {
			t.Errorf("%d announcements of ended sagas and %d of paused ones, want 2 and 1", ended, paused)
		}
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	})
}
