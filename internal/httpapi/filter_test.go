package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amends-dev/amends/participant"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// ids returns the sorted ids of the sagas that a filter matches. It reads pages of two.
func (w *fixture) ids(t *testing.T, f *apiv1.Filter) string {
	t.Helper()
	var found []string
	for cursor := ""; ; {
		r, err := w.List(within(t), connect.NewRequest(&apiv1.ListRequest{Filter: f, Limit: 2, Cursor: cursor}))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range r.Msg.Sagas {
			found = append(found, s.Id)
		}
		if cursor = r.Msg.NextCursor; cursor == "" {
			slices.Sort(found)
			return strings.Join(found, " ")
		}
	}
}

// TestFilters checks that each filter finds the same sagas in List and in Count.
func TestFilters(t *testing.T) {
	w := newFixture(t)
	for _, id := range []string{"done-1", "done-2", "done-3"} {
		w.start(t, id)
	}
	w.when(func(action string) error {
		if action == "ship" {
			return participant.Reject("the Bridge is closed")
		}
		return nil
	})
	w.start(t, "back-1")
	w.park(t, "stuck-1")
	w.park(t, "stuck-2")
	now := timestamppb.New(time.Now())
	hour := timestamppb.New(time.Now().Add(-time.Hour))
	const all = "back-1 done-1 done-2 done-3 stuck-1 stuck-2"
	for name, tt := range map[string]struct {
		filter *apiv1.Filter
		want   string
	}{
		"nothing":       {nil, all},
		"definition":    {&apiv1.Filter{Definition: &apiv1.DefinitionRef{Name: "bakery", Version: 1}}, all},
		"no definition": {&apiv1.Filter{Definition: &apiv1.DefinitionRef{Name: "bakery", Version: 2}}, ""},
		"phase":         {&apiv1.Filter{Phases: []string{"compensated", "parked"}}, "back-1 stuck-1 stuck-2"},
		"open":          {&apiv1.Filter{Open: true}, "stuck-1 stuck-2"},
		"prefix":        {&apiv1.Filter{IdPrefix: "done-"}, "done-1 done-2 done-3"},
		"ids":           {&apiv1.Filter{Ids: []string{"done-2", "nobody", "stuck-1"}}, "done-2 stuck-1"},
		"step":          {&apiv1.Filter{Step: "ship"}, "stuck-1 stuck-2"},
		"another step":  {&apiv1.Filter{Step: "bake"}, ""},
		"participant":   {&apiv1.Filter{Participant: "courier"}, ""}, // a parked step does not wait for a participant
		"reason":        {&apiv1.Filter{Reason: "BRIDGE"}, "back-1"},
		"parked reason": {&apiv1.Filter{Reason: "van broke"}, "stuck-1 stuck-2"},
		"young":         {&apiv1.Filter{StartedAfter: hour, StartedBefore: now}, all},
		"old":           {&apiv1.Filter{StartedBefore: hour}, ""},
		"before 9999":   {&apiv1.Filter{StartedBefore: year(9999), UpdatedBefore: year(9999)}, all},
		"after 9999":    {&apiv1.Filter{StartedAfter: year(9999)}, ""},
		"after 1600":    {&apiv1.Filter{StartedAfter: year(1600)}, all},
		"before 1600":   {&apiv1.Filter{StartedBefore: year(1600)}, ""},
		"moved":         {&apiv1.Filter{UpdatedBefore: hour}, ""},
		"all together":  {&apiv1.Filter{IdPrefix: "stuck-", Step: "ship", Phases: []string{"parked"}, UpdatedBefore: now, Open: true, Ids: []string{"stuck-2", "done-1"}}, "stuck-2"},
	} {
		if got := w.ids(t, tt.filter); got != tt.want {
			t.Errorf("%s: listed are %q, want %q", name, got, tt.want)
		}
		r, err := w.Count(within(t), connect.NewRequest(&apiv1.CountRequest{Filter: tt.filter}))
		sum := int64(0)
		for _, n := range r.Msg.GetCounts() {
			sum += n.Sagas
		}
		if want := int64(len(strings.Fields(tt.want))); err != nil || r.Msg.Total != want || sum != want || r.Msg.AtLeast {
			t.Errorf("%s: counted are %v, %v, want %d", name, r, err, want)
		}
	}
	r, err := w.Count(within(t), connect.NewRequest(&apiv1.CountRequest{Filter: &apiv1.Filter{IdPrefix: "d"}}))
	if err != nil || len(r.Msg.Counts) != 1 || r.Msg.Counts[0].Ended != 3 || r.Msg.Counts[0].Phase != "completed" {
		t.Errorf("count by phase: %v, %v", r, err)
	}
	for field, f := range map[string]*apiv1.Filter{
		"filter.ids[1]":        {Ids: []string{"a", "b c"}},
		"filter.ids":           {Ids: make([]string, 1001)},
		"filter.step":          {Step: "No Step"},
		"filter.participant":   {Participant: "x y"},
		"filter.reason":        {Reason: strings.Repeat("x", 257)},
		"filter.startedBefore": {StartedAfter: now, StartedBefore: hour},
		"filter.startedAfter":  {StartedAfter: timestamppb.New(time.Time{}), Open: true},
		"filter.updatedBefore": {UpdatedBefore: &timestamppb.Timestamp{}, Open: true}, // 1970, as from an unset field
	} {
		_, err := w.Count(within(t), connect.NewRequest(&apiv1.CountRequest{Filter: f}))
		if code, detail := refusal(t, err); code != connect.CodeInvalidArgument || len(detail.Violations) != 1 || detail.Violations[0].Field != field {
			t.Errorf("%s: %v, %v", field, err, detail)
		}
	}
}

func year(y int) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC))
}

// TestDecisionsAreNotWidened checks that a bulk operation with unknown fields in its filter is
// refused and changes no saga.
func TestDecisionsAreNotWidened(t *testing.T) {
	w := newFixture(t)
	newer := protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1)
	strange := func(m proto.Message) { m.ProtoReflect().SetUnknown(newer) }
	filter, request, ref := &apiv1.Filter{Open: true}, &apiv1.OperateAllRequest{Filter: &apiv1.Filter{Open: true}}, &apiv1.DefinitionRef{Name: "bakery"}
	strange(filter)
	strange(request)
	strange(ref)
	for name, r := range map[string]*apiv1.OperateAllRequest{
		"a field of a newer filter":     {Filter: filter},
		"a field of a newer request":    request,
		"a field of a newer definition": {Filter: &apiv1.Filter{Definition: ref}},
		"the zero time":                 {Filter: &apiv1.Filter{Open: true, StartedBefore: timestamppb.New(time.Time{})}},
		"1970":                          {Filter: &apiv1.Filter{Open: true, StartedAfter: &timestamppb.Timestamp{}}},
		"no time at all":                {Filter: &apiv1.Filter{Open: true, UpdatedBefore: &timestamppb.Timestamp{Seconds: 1 << 62}}},
		"nanoseconds below zero":        {Filter: &apiv1.Filter{Open: true, UpdatedBefore: &timestamppb.Timestamp{Seconds: 1, Nanos: -1}}},
	} {
		r.Decision = &apiv1.Decision{Operation: "cancel", By: "kim", Reason: "spring cleaning"}
		stream, err := w.OperateAll(within(t), connect.NewRequest(r))
		if err != nil {
			t.Fatal(err)
		}
		for stream.Receive() {
			t.Errorf("%s: %v", name, stream.Msg())
		}
		if code := connect.CodeOf(stream.Err()); code != connect.CodeInvalidArgument {
			t.Errorf("%s: %v, want it refused", name, stream.Err())
		}
		_ = stream.Close()
	}
	purge := &apiv1.PurgeDeadLettersRequest{Participant: "oven"}
	strange(purge)
	for name, r := range map[string]*apiv1.PurgeDeadLettersRequest{
		"a field of a newer request": purge,
		"no duration":                {Participant: "oven", OlderThan: &durationpb.Duration{Seconds: 1 << 62}},
		"below zero":                 {Participant: "oven", OlderThan: durationpb.New(-1)},
	} {
		if _, err := w.PurgeDeadLetters(within(t), connect.NewRequest(r)); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("purge with %s: %v, want it refused", name, err)
		}
	}
}

// TestParticipantsThatAreAsked checks that sagas can be found by the participants that they wait
// for.
func TestParticipantsThatAreAsked(t *testing.T) {
	w := newFixture(t)
	release := make(chan struct{})
	w.when(func(action string) error {
		if action == "ship" {
			<-release
		}
		return nil
	})
	if _, err := w.Start(within(t), order("waiting")); err != nil {
		t.Fatal(err)
	}
	for w.ids(t, &apiv1.Filter{Participant: "courier", Step: "ship"}) != "waiting" {
		if t.Context().Err() != nil {
			t.Fatal("it is never found")
		}
	}
	if got := w.ids(t, &apiv1.Filter{Participant: "oven"}); got != "" {
		t.Errorf("the oven is done, and asked by %q", got)
	}
	close(release)
}

// TestExpectedRevision checks that an operation with an expected revision is refused if the saga
// has changed since.
func TestExpectedRevision(t *testing.T) {
	w := newFixture(t)
	ctx := within(t)
	seen := w.park(t, "stuck").Revision
	decide := func(revision uint64) error {
		_, err := w.Operate(ctx, connect.NewRequest(&apiv1.OperateRequest{Id: "stuck", ExpectedRevision: revision,
			Decision: &apiv1.Decision{Operation: "skip", By: "kim", Reason: "done by hand"}}))
		return err
	}
	code, detail := refusal(t, decide(seen-1))
	if code != connect.CodeFailedPrecondition || detail.Revision != seen {
		t.Errorf("%v, %v; want the revision %d", code, detail, seen)
	}
	if err := decide(seen); err != nil {
		t.Error(err)
	}
	if err := decide(seen); err == nil {
		t.Error("the same decision again is taken")
	}
}

// TestHistoryWithSagas checks that the history shows each past state of the saga, in pages.
func TestHistoryWithSagas(t *testing.T) {
	w := newFixture(t)
	ctx := within(t)
	w.park(t, "stuck")
	if _, err := w.Operate(ctx, connect.NewRequest(&apiv1.OperateRequest{Id: "stuck", Decision: &apiv1.Decision{Operation: "compensate", By: "kim", Reason: "it is in the workshop"}})); err != nil {
		t.Fatal(err)
	}
	w.when(func(string) error { return nil })
	var got []string
	for from := uint64(1); from != 0; {
		r, err := w.History(ctx, connect.NewRequest(&apiv1.HistoryRequest{Id: "stuck", FromRevision: from, Limit: 2, WithSaga: true}))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range r.Msg.Events {
			if e.Saga.Revision != e.Revision || len(e.Saga.Steps) != 2 {
				t.Errorf("behind revision %d it stands at %v", e.Revision, e.Saga)
			}
			got = append(got, fmt.Sprintf("%s: %s %s/%s", e.Type, e.Saga.Phase, e.Saga.Steps[0].Status, e.Saga.Steps[1].Status))
		}
		from = r.Msg.NextRevision
	}
	want := []string{"started: running doing/pending", "step_answered: running done/doing", "step_answered: parked done/parked", "operation_taken: compensating undoing/rejected"}
	if len(got) > 4 { // the oven may have answered already
		want = append(want, "step_answered: compensated undone/rejected")
	}
	if !slices.Equal(got, want) {
		t.Errorf("the past is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestOneDefinitionAndTwo reads a definition and compares two.
func TestOneDefinitionAndTwo(t *testing.T) {
	w := newFixture(t)
	ctx := within(t)
	w.start(t, "done")
	r, err := w.GetDefinition(ctx, connect.NewRequest(&apiv1.GetDefinitionRequest{Definition: &apiv1.DefinitionRef{Name: "bakery"}}))
	if err != nil {
		t.Fatal(err)
	}
	d := r.Msg.Definition
	if d.Ref.Version != 1 || !d.Newest || d.Fingerprint != bakery.Fingerprint() || !strings.HasPrefix(d.Canonical, `{"name":"bakery"`) ||
		!strings.Contains(d.Mermaid, "bake") || len(d.Counts) != 1 || d.Counts[0].Sagas != 1 {
		t.Errorf("the definition is %v", d)
	}
	changed := strings.Replace(strings.Replace(d.Canonical, `"version":1`, `"version":2`, 1), `"action":"ship"`, `"action":"send"`, 1)
	compared, err := w.CompareDefinitions(ctx, connect.NewRequest(&apiv1.CompareDefinitionsRequest{From: d.Ref, ToSource: changed}))
	if err != nil || len(compared.Msg.Differences) != 1 || compared.Msg.Differences[0].Path != "steps/ship/do/action" || compared.Msg.Differences[0].To != "send" {
		t.Errorf("compare: %v, %v", compared, err)
	}
	same, err := w.CompareDefinitions(ctx, connect.NewRequest(&apiv1.CompareDefinitionsRequest{From: d.Ref, To: d.Ref}))
	if err != nil || len(same.Msg.Differences) != 0 {
		t.Errorf("compare with itself: %v, %v", same, err)
	}
	_, err = w.CompareDefinitions(ctx, connect.NewRequest(&apiv1.CompareDefinitionsRequest{From: d.Ref}))
	if code, _ := refusal(t, err); code != connect.CodeInvalidArgument {
		t.Error(err)
	}
	_, err = w.GetDefinition(ctx, connect.NewRequest(&apiv1.GetDefinitionRequest{Definition: &apiv1.DefinitionRef{Name: "bakery", Version: 7}}))
	if code, _ := refusal(t, err); code != connect.CodeNotFound {
		t.Error(err)
	}
}
