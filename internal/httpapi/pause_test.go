package httpapi_test

import (
	"testing"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// operate applies an operation to a saga.
func (w *fixture) operate(t *testing.T, id, operation string) *apiv1.Saga {
	t.Helper()
	r, err := w.Operate(within(t), connect.NewRequest(&apiv1.OperateRequest{Id: id, Decision: &apiv1.Decision{Operation: operation, By: "kim", Reason: "the bakery moves"}}))
	if err != nil {
		t.Fatal(err)
	}
	return r.Msg.Saga
}

// TestPauseAndResume checks that a paused saga records the answer to a command in flight, but
// starts no further step until it is resumed.
func TestPauseAndResume(t *testing.T) {
	w := newFixture(t)
	baking, baked := make(chan struct{}), make(chan struct{})
	shipped := make(chan struct{}, 10)
	w.when(func(action string) error {
		switch action {
		case "bake":
			close(baking)
			<-baked
		case "ship":
			shipped <- struct{}{}
		}
		return nil
	})
	if _, err := w.Start(within(t), order("slow")); err != nil {
		t.Fatal(err)
	}
	<-baking
	s := w.operate(t, "slow", "pause")
	if s.Paused.GetBy() != "kim" || s.Paused.GetReason() != "the bakery moves" || s.Paused.GetSince() == nil || s.Phase != "running" {
		t.Errorf("paused, it is %v", s)
	}
	if got := w.ids(t, &apiv1.Filter{Paused: true}); got != "slow" {
		t.Errorf("paused are %q", got)
	}
	if o, err := w.GetOverview(within(t), connect.NewRequest(&apiv1.GetOverviewRequest{})); err != nil || o.Msg.Overview.Paused != 1 {
		t.Errorf("the overview counts %v, %v", o, err)
	}
	follow := w.watch(t, w, &apiv1.WatchRequest{Id: "slow"})
	close(baked)
	for m := follow.next(); m.Saga == nil || m.Saga.Revision < 3; m = follow.next() {
		continue
	}
	s = w.operate(t, "slow", "resume") // nothing else can change the saga in between
	if s.Revision != 4 || s.Paused != nil || s.Steps[0].Status != "done" {
		t.Errorf("resumed, it is %v", s)
	}
	if s := w.wait(t, "slow"); s.Phase != "completed" {
		t.Errorf("in the end it is %v", s)
	}
	history, err := w.History(within(t), connect.NewRequest(&apiv1.HistoryRequest{Id: "slow", FromRevision: 3, Limit: 1, WithSaga: true}))
	if err != nil || history.Msg.Events[0].Saga.Steps[1].Status != "pending" || history.Msg.Events[0].Saga.Paused == nil {
		t.Errorf("the step behind began while it was paused: %v, %v", history, err)
	}
	if len(shipped) != 1 {
		t.Errorf("shipped %d times", len(shipped))
	}
	if got := w.ids(t, &apiv1.Filter{Paused: true}); got != "" {
		t.Errorf("paused are %q", got)
	}
	if o, err := w.GetOverview(within(t), connect.NewRequest(&apiv1.GetOverviewRequest{})); err != nil || o.Msg.Overview.Paused != 0 {
		t.Errorf("the overview counts %v, %v", o, err)
	}
}
