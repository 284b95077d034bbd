package coordinator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
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

// mostCarried is the payload limit of a NATS server that can just carry a saga's commands
// (docs/WIRE.md), minus the headers of a reply.
const mostCarried = 661_461 - 16_384 - 1024

// asks sends a request and decodes the reply.
func (w *fixture) asks(method, id, data string, reply any) *transport.Envelope {
	w.t.Helper()
	raw := []byte(data)
	if id != "" {
		raw = of(contract.SagaID(id), data, method == api.MethodOperate)
	}
	e, err := w.bus.Request(w.t.Context(), &transport.Envelope{
		Subject: transport.Subjects{}.API(method), Type: transport.TypeRequest, Expires: time.Now().Add(time.Second), Data: raw,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(e.Data) > mostCarried {
		w.t.Errorf("the reply to %s %s has %d bytes, which the bus need not carry", method, data, len(e.Data))
	}
	if s, ok := reply.(*api.Saga); ok && e.Code == "" {
		*s = *sagaIn(w.t, e)
	} else if e.Code == "" && reply != nil {
		if err := json.Unmarshal(e.Data, reply); err != nil {
			w.t.Fatal(err)
		}
	}
	return e
}

// TestRepliesFit checks that each page fits a bus message, whatever users have written, and that
// all pages together are complete.
func TestRepliesFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices()
		c := client.New(w.bus)
		const sagas, decisions = 400, 60
		long := strings.Repeat("\u0001", contract.MaxReason) // each is six bytes as JSON
		operate := func(id contract.SagaID, operation contract.Operation) {
			t.Helper()
			if _, err := c.Operate(t.Context(), id, api.Decision{Operation: operation, By: long, Reason: long}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range sagas {
			id := contract.SagaID(fmt.Sprintf("s%d", i))
			if _, err := c.Start(t.Context(), checkout, order{strings.Repeat("<", 1000)}, client.ID(id)); err != nil {
				t.Fatal(err)
			}
			operate(id, "pause")
		}
		for range decisions {
			operate("s0", "resume")
			operate("s0", "pause")
		}
		listed := map[contract.SagaID]int{}
		for cursor := ""; ; {
			var page api.ListResponse
			if e := w.asks("list", "", fmt.Sprintf(`{"limit":1000,"cursor":%q}`, cursor), &page); e.Code != "" || len(page.Sagas) == 0 {
				t.Fatalf("%s: %s", e.Code, e.Reason)
			}
			for _, s := range page.Sagas {
				listed[s.ID]++
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		for id, n := range listed {
			if n != 1 {
				t.Errorf("%s is listed %d times", id, n)
			}
		}
		if len(listed) != sagas {
			t.Errorf("%d sagas are listed of %d", len(listed), sagas)
		}
		for _, with := range []string{"false", "true"} {
			from, pages := uint64(1), 0
			for next := uint64(1); next != 0; pages++ {
				var page api.HistoryResponse
				w.asks("history", "s0", fmt.Sprintf(`{"fromRevision":%d,"withSaga":%s}`, next, with), &page)
				for _, e := range page.Events {
					if e.Revision != from || e.Type == "operation_taken" && (e.By != long || e.Reason != long) || (e.Saga != nil) != (with == "true") {
						t.Fatalf("event %d, want %d whole", e.Revision, from)
					}
					from++
				}
				if len(page.Events) == 0 {
					t.Fatal("an empty page")
				}
				next = page.NextRevision
			}
			if from != 2*decisions+3 || pages < 2 {
				t.Errorf("%d events on %d pages", from-1, pages)
			}
		}
		operateAll(w, "resume", long)
		seen := map[contract.SagaID]bool{}
		for position, more := "", true; more; {
			var page api.PollResponse
			if e := w.asks("poll", "", fmt.Sprintf(`{"position":%q,"timeout":"0.1s"}`, position), &page); e.Code != "" {
				t.Fatalf("watch: %s %s", e.Code, e.Reason)
			}
			if position == "" {
				operateAll(w, "pause", long)
			}
			for _, s := range page.Sagas {
				seen[s.Saga.ID] = true
			}
			more = position == "" || len(page.Sagas) > 0
			position = page.Position
		}
		if len(seen) != sagas {
			t.Errorf("%d sagas are watched of %d", len(seen), sagas)
		}
	})
}

// operateAll submits a decision about all sagas.
func operateAll(w *fixture, operation, text string) {
	w.t.Helper()
	decision, err := json.Marshal(map[string]any{"filter": map[string]any{"open": true}, "decision": map[string]string{"operation": operation, "by": text, "reason": text}})
	if err != nil {
		w.t.Fatal(err)
	}
	var query map[string]any
	if err := json.Unmarshal(decision, &query); err != nil {
		w.t.Fatal(err)
	}
	for {
		data, err := json.Marshal(query)
		if err != nil {
			w.t.Fatal(err)
		}
		var page api.OperatePageResponse
		w.asks("operate-page", "", string(data), &page)
		if page.NextCursor == "" {
			return
		}
		query["cursor"] = page.NextCursor
	}
}

// torn is a store in which one event of one saga is damaged.
type torn struct {
	*memstore.Store
	id       contract.SagaID
	revision uint64
}

func (s *torn) History(ctx context.Context, id contract.SagaID, from uint64, limit int) ([]machine.Event, error) {
	events, err := s.Store.History(ctx, id, from, limit)
	if id == s.id && from <= s.revision && s.revision < from+uint64(len(events)) {
		return nil, &store.CorruptError{What: fmt.Sprintf("event %d of saga %s", s.revision, id), Why: "its checksum is wrong", Saga: id}
	}
	return events, err
}

// TestDamagedRecordHidesNothing checks that lists, watches, histories and decisions about many
// sagas skip a damaged record, and report its saga and the damage (I12).
func TestDamagedRecordHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices()
		c := client.New(w.bus)
		for _, id := range []contract.SagaID{"a", "sick", "z"} {
			if _, err := c.Start(t.Context(), checkout, order{"tea"}, client.ID(id)); err != nil {
				t.Fatal(err)
			}
		}
		for _, operation := range []contract.Operation{"pause", "resume", "pause"} {
			if _, err := c.Operate(t.Context(), "z", api.Decision{Operation: operation, By: "kim", Reason: string(operation)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		if !w.store.Spoil("sick") {
			t.Fatal("there is no such saga")
		}
		w.start(coordinator.Config{Store: &torn{w.store, "z", 3}})

		var list api.ListResponse
		w.asks("list", "", "{}", &list)
		problems := map[contract.SagaID]string{}
		for _, s := range list.Sagas {
			problems[s.ID] = s.Problem
		}
		if len(problems) != 3 || problems["a"]+problems["z"] != "" || !strings.Contains(problems["sick"], "sick: made unreadable") {
			t.Errorf("the list says %q", problems)
		}
		var bulk api.OperatePageResponse
		w.asks("operate-page", "", `{"filter":{"open":true},"decision":{"operation":"cancel","by":"kim","reason":"x"}}`, &bulk)
		if bulk.Matched != 3 || bulk.Done != 2 || len(bulk.Refusals) != 1 || bulk.Refusals[0].ID != "sick" || !strings.Contains(bulk.Refusals[0].Reason, "made unreadable") {
			t.Errorf("a decision about all answers %+v", bulk)
		}
		for _, with := range []string{"false", "true"} {
			var history api.HistoryResponse
			e := w.asks("history", "z", `{"withSaga":`+with+`}`, &history)
			if e.Code != "" || len(history.Events) < 5 {
				t.Fatalf("history: %s %s, %d events", e.Code, e.Reason, len(history.Events))
			}
			for i, event := range history.Events {
				damaged := i == 2
				lost := i >= 2 && with == "true"
				if event.Revision != uint64(i+1) || (event.Type == "") != damaged || (event.Problem != "") != (damaged || lost) || (event.Saga != nil) != (with == "true" && !lost) {
					t.Errorf("event %d is %+v", i+1, event)
				}
			}
		}
		var one api.HistoryResponse
		if w.asks("history", "z", `{"fromRevision":4}`, &one); len(one.Events) == 0 || one.Events[0].Revision != 4 || one.Events[0].Problem != "" {
			t.Errorf("from behind it on: %+v", one.Events)
		}
		if e := w.asks("history", "sick", "{}", nil); e.Code == "" || !strings.Contains(e.Reason, "made unreadable") {
			t.Errorf("the history of what is damaged whole: %s %s", e.Code, e.Reason)
		}
		const spoil = contract.SagaID("late")
		var begin, moved api.PollResponse
		w.asks("poll", "", `{"timeout":"0s"}`, &begin)
		if _, err := c.Start(t.Context(), checkout, order{"tea"}, client.ID(spoil)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Start(t.Context(), checkout, order{"tea"}, client.ID("beside-"+spoil)); err != nil {
			t.Fatal(err)
		}
		if !w.store.Spoil(spoil) {
			t.Fatal("there is no such saga")
		}
		w.asks("poll", "", fmt.Sprintf(`{"position":%q}`, begin.Position), &moved)
		told := map[contract.SagaID]string{}
		for _, s := range moved.Sagas {
			told[s.Saga.ID] = s.Saga.Problem
		}
		if len(told) != 2 || !strings.Contains(told[spoil], "made unreadable") || told["beside-"+spoil] != "" {
			t.Errorf("a watch tells %q", told)
		}
		if s, e := w.remove(string(spoil), `{"by":"kim","reason":"x"}`); e.Code != "" || !s.Removed {
			t.Errorf("it cannot be removed: %s %s", e.Code, e.Reason)
		}
		if s, e := w.remove("sick", `{"by":"kim","reason":"x"}`); e.Code != "" || !s.Removed {
			t.Errorf("it cannot be removed: %s %s", e.Code, e.Reason)
		}
	})
}

// TestRequestsAreValid checks that text in requests over the bus is valid for every reader.
// Otherwise the request is refused and has no effect (I12).
func TestRequestsAreValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices()
		if _, err := client.New(w.bus).Start(t.Context(), checkout, order{"tea"}, client.ID("s1")); err != nil {
			t.Fatal(err)
		}
		deep := strings.Repeat("[", 121) + strings.Repeat("]", 121)
		for _, c := range []struct{ method, data, want string }{
			{"operate", `{"operation":"pause","by":"\ud800","reason":"x"}`, "at byte 50 an escape is half of a surrogate pair"},
			{"operate", "{\"operation\":\"pause\",\"by\":\"caf\xe9\",\"reason\":\"x\"}", "is not UTF-8"},
			{"operate", `{"operation":"cancel","by":"kim","reason":"x","operation":"pause"}`, "a name is repeated"},
			{"operate", `{"operation":"pause","by":"kim","reason":"x","result":"\udfff"}`, "half of a surrogate pair"},
			{"operate", `{"operation":"pause","by":"kim","reason":"x","result":{"a":1,"a":2}}`, "a name is repeated"},
			{"operate", `{"operation":"pause","by":"kim","reason":"x","result":` + deep + `}`, "decision.result: is not valid JSON: at byte 121 it is nested deeper than 120"},
			{"operate-page", `{"filter":{"open":true},"decision":{"operation":"pause","by":"kim","reason":"x","result":` + deep + `}}`, "decision.result: is not valid JSON"},
			{"operate-page", `{"filter":{"open":true,"open":false},"decision":{"operation":"pause","by":"kim","reason":"x"}}`, "a name is repeated"},
			{"list", `{"limit":1,"limit":2}`, "a name is repeated"},
			{"list", `{"filter":{"reason":"\udfff"}}`, "half of a surrogate pair"},
			{"remove-damaged", "{\"by\":\"caf\xe9\",\"reason\":\"x\"}", "is not UTF-8"},
		} {
			if e := w.asks(c.method, map[bool]string{true: "s1"}[c.method == api.MethodOperate || c.method == api.MethodRemoveDamaged], c.data, nil); e.Code != string(api.CodeInvalidArgument) || !strings.Contains(e.Reason, c.want) {
				t.Errorf("%s %.80q: %s %s, want %q", c.method, c.data, e.Code, e.Reason, c.want)
			}
		}
		var s api.Saga
		if w.asks("get", "s1", "", &s); s.Revision != 1 || s.Paused != nil {
			t.Errorf("one was taken: revision %d, %+v", s.Revision, s.Paused)
		}
		if e := w.asks("operate", "s1", `{"operation":"pause","by":"\ud83d\ude00 <kim>","reason":"caf\u00e9"}`, &s); e.Code != "" || s.Paused.By != "😀 <kim>" || s.Paused.Reason != "café" || !strings.Contains(string(e.Data), "<kim>") {
			t.Errorf("%s %s: %+v", e.Code, e.Reason, s.Paused)
		}
	})
}
