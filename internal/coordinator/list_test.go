package coordinator_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// A filter accepts times in every notation, but refuses a zero time. So does a decision about many
// sagas.
func TestTimesInFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.run("s1")
		ask := func(method, data string) *transport.Envelope {
			t.Helper()
			e, err := w.bus.Request(t.Context(), &transport.Envelope{
				Subject: transport.Subjects{}.API(method), Type: transport.TypeRequest, Data: []byte(data), Expires: time.Now().Add(time.Minute),
			})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		for filter, want := range map[string]int{
			`{"startedBefore":"9999-01-01T00:00:00Z"}`: 1,
			`{"updatedBefore":"2300-01-01T00:00:00Z"}`: 1,
			`{"startedAfter":"2300-01-01T00:00:00Z"}`:  0,
			`{"startedAfter":"0001-01-02T00:00:00Z"}`:  1,
			`{"startedBefore":"1500-01-01T00:00:00Z"}`: 0,
		} {
			var reply api.CountResponse
			if e := ask(api.MethodCount, `{"filter":`+filter+`}`); json.Unmarshal(e.Data, &reply) != nil || e.Code != "" || reply.Total != want {
				t.Errorf("%s matches %d, %q %s; want %d", filter, reply.Total, e.Code, e.Reason, want)
			}
		}
		for _, field := range []string{"startedAfter", "startedBefore", "updatedBefore"} {
			for _, zero := range []string{"0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00"} {
				text := `"open":true,"` + field + `":"` + zero + `"`
				bulk := `{"filter":{` + text + `},"decision":{"operation":"cancel","by":"kim","reason":"spring cleaning"}}`
				for method, data := range map[string]string{api.MethodCount: `{"filter":{` + text + `}}`, api.MethodList: `{"filter":{` + text + `}}`, api.MethodOperatePage: bulk} {
					if e := ask(method, data); e.Code != string(api.CodeInvalidArgument) || !strings.Contains(e.Reason, field) || !strings.Contains(e.Reason, "leave it out") {
						t.Errorf("%s of %s: %q %s; want it refused", method, data, e.Code, e.Reason)
					}
				}
			}
		}
	})
}

// TestWhatIsNotGivenDoesNotWiden checks that an empty list, an empty string or a misspelt name does
// not widen a filter.
func TestWhatIsNotGivenDoesNotWiden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.run("s1")
		refused := func(method, data, why string) {
			t.Helper()
			e, err := w.bus.Request(t.Context(), &transport.Envelope{
				Subject: transport.Subjects{}.API(method), Type: transport.TypeRequest, Data: []byte(data), Expires: time.Now().Add(time.Minute),
			})
			if err != nil {
				t.Fatal(err)
			}
			if e.Code != string(api.CodeInvalidArgument) || !strings.Contains(e.Reason, why) {
				t.Errorf("%s of %s: %q %s %s; want it refused with %q", method, data, e.Code, e.Reason, e.Data, why)
			}
		}
		bulk := func(filter string) string {
			return `{"filter":` + filter + `,"decision":{"operation":"cancel","by":"kim","reason":"spring cleaning"},"dryRun":true}`
		}
		for filter, why := range map[string]string{
			`{"ids":[]}`:                       "filter.ids: is given and empty",
			`{"open":true,"ids":[ ]}`:          "filter.ids: is given and empty",
			`{"phases":[]}`:                    "filter.phases: is given and empty",
			`{"step":"bake","Step":"x"}`:       `Step: is unknown`,
			`{"open":true,"\u017ftep":"bake"}`: "\u017ftep: is unknown",
			`{"open":true,"startedBefore":"9999-12-31T23:00:00-12:00"}`: "startedBefore: is not between the years",
			`{"open":true,"updatedBefore":"0000-12-31T23:00:00Z"}`:      "updatedBefore: is not between the years",
		} {
			refused(api.MethodCount, `{"filter":`+filter+`}`, why)
			refused(api.MethodList, `{"filter":`+filter+`}`, why)
			refused(api.MethodOperatePage, bulk(filter), why)
		}
		refused(api.MethodOperatePage, bulk(`{"open":true,"definition":{}}`), "filter.definition: is given and empty")
		for _, field := range []string{"idPrefix", "reason", "step", "participant"} {
			refused(api.MethodOperatePage, bulk(`{"open":true,"`+field+`":""}`), field+": is given and empty")
		}
		refused(api.MethodOperatePage, `{"filter":{"open":true},"Filter":{"definition":{"name":"cake"}},"decision":{"operation":"cancel","by":"kim","reason":"x"}}`, "Filter: is unknown")
		refused(api.MethodOperate, `{"id":"s1","decision":{"operation":"cancel","by":"kim","By":"ada","reason":"x"}}`, `decision.By: is unknown`)
	})
}

// lateSagas is an Observer that counts sagas that become overdue.
type lateSagas struct {
	refusals

	overdue atomic.Int32
}

func (o *lateSagas) Transition(t coordinator.Transition) {
	if t.Overdue {
		o.overdue.Add(1)
	}
}

// TestOverdueIsFound checks that a saga whose deadline passes after the point of no return is
// reported once, and is found by the filter until it ends.
func TestOverdueIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		seen := &lateSagas{}
		forward := saga.MustDefine[order]("forward", saga.Deadline(time.Hour), saga.Pivot("charge", saga.Do(charge)), saga.Retriable("ship", saga.Do(ship)))
		w.restart(coordinator.Config{Observer: seen})
		w.run("well")
		w.when(func(action string, _ int) error {
			if action == "ship" {
				return errors.New("the van broke down")
			}
			return nil
		})
		c := client.New(w.bus)
		if _, err := c.Register(t.Context(), forward); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Start(t.Context(), forward, order{"tea"}, client.ID("late")); err != nil {
			t.Fatal(err)
		}
		found := func() (ids []contract.SagaID) {
			t.Helper()
			for s, err := range c.All(t.Context(), api.ListRequest{Filter: api.Filter{Overdue: true}}) {
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, s.ID)
			}
			return ids
		}
		time.Sleep(59 * time.Minute) // virtual
		if ids := found(); len(ids) != 0 || seen.overdue.Load() != 0 {
			t.Errorf("before the deadline %q are overdue, and %d were reported", ids, seen.overdue.Load())
		}
		time.Sleep(2 * time.Minute) // virtual
		if ids := found(); !slices.Equal(ids, []contract.SagaID{"late"}) || seen.overdue.Load() != 1 {
			t.Errorf("after the deadline %q are overdue, and %d were reported", ids, seen.overdue.Load())
		}
		if _, err := c.Operate(t.Context(), "late", api.Decision{Operation: contract.OperationSkip, Step: "ship", By: "kim", Reason: "sent by hand"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // virtual
		if ids := found(); len(ids) != 0 || seen.overdue.Load() != 1 {
			t.Errorf("after the end %q are overdue, and %d were reported", ids, seen.overdue.Load())
		}
	})
}

// TestViolationsNameTheField checks that a refusal names the field of the request, in the names of
// its JSON.
func TestViolationsNameTheField(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		for _, c := range []struct{ method, data, field string }{
			{api.MethodGet, `{"id":"no body"}`, "id"},
			{api.MethodList, `{"cursor":"?"}`, "cursor"},
			{api.MethodList, `{"limit":"7"}`, "limit"},
			{api.MethodList, `{"filter":{"phases":["lost"]}}`, "filter.phases[0]"},
			{api.MethodList, `{"filter":{"definition":{"name":""}}}`, "filter.definition.name"},
			{api.MethodOperate, `{"id":"a"}`, "decision"},
			{api.MethodOperate, `{"id":"a","decision":{"operation":"pause","outcome":"lost"}}`, "decision.outcome"},
			{api.MethodWait, `{"id":"a","timeout":"-1s"}`, "timeout"},
		} {
			e := w.asks(c.method, "", c.data, nil)
			var refusal api.Refusal
			if e.Code != string(api.CodeInvalidArgument) || json.Unmarshal(e.Data, &refusal) != nil || len(refusal.Violations) != 1 || refusal.Violations[0].Field != c.field {
				t.Errorf("%s of %s: %q %s %s, want a violation of %s", c.method, c.data, e.Code, e.Reason, e.Data, c.field)
			}
		}
		ask := func(e transport.Envelope) (refusal api.Refusal) {
			t.Helper()
			e.Subject, e.Type = transport.Subjects{}.API(api.MethodStart), transport.TypeRequest
			reply, err := w.bus.Request(t.Context(), &e)
			if err != nil || reply.Code != string(api.CodeInvalidArgument) {
				t.Fatalf("%+v, %v", reply, err)
			}
			if err := json.Unmarshal(reply.Data, &refusal); err != nil || len(refusal.Violations) != 1 {
				t.Fatalf("%s: %v", reply.Data, err)
			}
			return refusal
		}
		if r := ask(transport.Envelope{Saga: "a", Definition: checkout.Ref(), Data: []byte(`{"sku":`)}); r.Violations[0].Field != "input" {
			t.Errorf("an input that is not JSON: %+v", r)
		}
		if r := ask(transport.Envelope{Saga: "a", Data: []byte(`{}`)}); r.Violations[0].Field != "definition" {
			t.Errorf("no definition: %+v", r)
		}
	})
}
