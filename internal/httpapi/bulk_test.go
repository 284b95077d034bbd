package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// operateAll reads the stream of a bulk operation to its end. Progress must never decrease, and the
// last message must be marked as finished.
func (w *fixture) operateAll(t *testing.T, r *apiv1.OperateAllRequest) (last *apiv1.OperateAllResponse, refused []string, err error) {
	t.Helper()
	stream, err := w.OperateAll(within(t), connect.NewRequest(r))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	last = &apiv1.OperateAllResponse{}
	for stream.Receive() {
		m := stream.Msg()
		if last.Finished || m.Matched < last.Matched || m.Matched != m.Done+m.Refused {
			t.Errorf("%v follows %v", m, last)
		}
		for _, one := range m.Refusals {
			refused = append(refused, one.Id+": "+one.Reason)
		}
		last = m
	}
	if stream.Err() == nil && !last.Finished {
		t.Errorf("it ends with %v", last)
	}
	return last, refused, stream.Err()
}

// TestOperateAll operates on more sagas than a page holds, first as a dry run, and then on exactly
// the same sagas.
func TestOperateAll(t *testing.T) {
	w := newFixture(t)
	w.park(t, "stuck-000")
	const sagas = 230
	for i := 1; i < sagas; i++ {
		if _, err := w.Start(within(t), order(fmt.Sprintf("stuck-%03d", i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range sagas {
		w.wait(t, fmt.Sprintf("stuck-%03d", i))
	}
	w.park(t, "other")
	all := &apiv1.Filter{IdPrefix: "stuck-", Open: true}
	abandon := &apiv1.Decision{Operation: "abandon", By: "kim", Reason: "the van is gone"}

	dry, _, err := w.operateAll(t, &apiv1.OperateAllRequest{Filter: all, Decision: abandon, DryRun: true})
	if err != nil || dry.Matched != sagas || dry.Done != sagas {
		t.Fatalf("dry run: %v, %v", dry, err)
	}
	count := func(f *apiv1.Filter) int64 {
		t.Helper()
		r, err := w.Count(within(t), connect.NewRequest(&apiv1.CountRequest{Filter: f}))
		if err != nil {
			t.Fatal(err)
		}
		return r.Msg.Total
	}
	if count(all) != sagas {
		t.Error("the dry run has decided something")
	}
	_, _, err = w.operateAll(t, &apiv1.OperateAllRequest{Filter: all, Decision: abandon, MaxMatches: sagas - 1})
	if code, _ := refusal(t, err); code != connect.CodeFailedPrecondition || count(all) != sagas {
		t.Errorf("more match than the operator saw: %v, and %d are left", err, count(all))
	}
	w.operate(t, "stuck-007", "abandon") // another operator was faster
	got, refused, err := w.operateAll(t, &apiv1.OperateAllRequest{Filter: &apiv1.Filter{IdPrefix: "stuck-"}, Decision: abandon, MaxMatches: sagas})
	if err != nil || got.Matched != sagas || got.Done != sagas-1 || got.Refused != 1 {
		t.Errorf("decided: %v, %v", got, err)
	}
	if len(refused) != 1 || !strings.HasPrefix(refused[0], "stuck-007: ") || !strings.Contains(refused[0], "the saga was abandoned") {
		t.Errorf("refused are %q", refused)
	}
	if left := count(all); left != 0 {
		t.Errorf("%d sagas are still open", left)
	}
	if count(&apiv1.Filter{Open: true}) != 1 {
		t.Error("the other one was decided about, too")
	}
	history, err := w.History(within(t), connect.NewRequest(&apiv1.HistoryRequest{Id: "stuck-123"}))
	if err != nil || history.Msg.Events[len(history.Msg.Events)-1].Reason != "the van is gone" {
		t.Errorf("its history: %v, %v", history, err)
	}
}

// TestOperateAllRefuses checks that requests that would affect every saga by mistake are refused.
func TestOperateAllRefuses(t *testing.T) {
	w := newFixture(t)
	open := &apiv1.Filter{Open: true}
	for field, r := range map[string]*apiv1.OperateAllRequest{
		"filter":             {Decision: &apiv1.Decision{Operation: "cancel", By: "kim", Reason: "x"}},
		"filter.phases[0]":   {Filter: &apiv1.Filter{Phases: []string{"stuck"}}, Decision: &apiv1.Decision{Operation: "cancel", By: "kim", Reason: "x"}},
		"decision.operation": {Filter: open, Decision: &apiv1.Decision{Operation: "explode", By: "kim", Reason: "x"}},
		"decision":           {Filter: open, Decision: &apiv1.Decision{Operation: "cancel", By: "kim"}},
		"maxMatches":         {Filter: open, Decision: &apiv1.Decision{Operation: "cancel", By: "kim", Reason: "x"}, MaxMatches: -1},
	} {
		_, _, err := w.operateAll(t, r)
		if code, detail := refusal(t, err); code != connect.CodeInvalidArgument || len(detail.Violations) != 1 || detail.Violations[0].Field != field {
			t.Errorf("%s: %v, %v", field, err, detail)
		}
	}
}
