package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

func TestAllWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.expect(w.run("s1"), contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")
	})
}

func TestRejectionGoesBackInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.when(func(action string, _ int) error {
			if action == "ship" {
				return participant.Reject("no carrier")
			}
			return nil
		})
		s := w.run("s1")
		w.expect(s, contract.PhaseCompensated, "s1 reserve", "s1 charge", "s1 refund", "s1 release")
		if !strings.Contains(s.Reason, "no carrier") {
			t.Errorf("reason %q does not say why", s.Reason)
		}
	})
}

func TestFailureIsTriedAgainWithTheSameKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.when(func(action string, attempt int) error {
			if action == "charge" && attempt < 3 {
				return errors.New("bank is down")
			}
			return nil
		})
		began := time.Now()
		w.expect(w.run("s1"), contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")
		if waited := time.Since(began); waited < 1500*time.Millisecond || waited > 4*time.Second {
			t.Errorf("two retries after about 1 s and 2 s took %s", waited)
		}
	})
}

func TestParkedPivotIsResolvedByAnOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.when(func(action string, _ int) error {
			if action == "ship" {
				return participant.Fatal(errors.New("no such table"))
			}
			return nil
		})
		s := w.run("s1")
		w.expect(s, contract.PhaseParked, "s1 reserve", "s1 charge")
		want := []contract.LegalOperation{{Operation: "retry", Step: "ship"}, {Operation: "resolve", Step: "ship"}, {Operation: "skip", Step: "ship"}, {Operation: "compensate"}, {Operation: "abandon"}, {Operation: "pause"}}
		if !slices.Equal(s.Legal, want) {
			t.Errorf("legal operations %q, want %q", s.Legal, want)
		}
		c := client.New(w.bus)
		_, err := c.Cancel(t.Context(), "s1", api.Decision{By: "kim", Reason: "enough"})
		if refused, ok := errors.AsType[*client.Error](err); !ok || !errors.Is(err, client.ErrIllegal) || !slices.Equal(refused.Legal, want) || strings.Count(err.Error(), "legal now: retry ship, resolve ship,") != 1 {
			t.Errorf("cancel of a parked pivot: %v", err)
		}
		w.when(func(string, int) error { return nil })
		if _, err := c.Operate(t.Context(), "s1", api.Decision{Operation: "retry", By: "kim", Reason: "table is there now"}); err != nil {
			t.Fatal(err)
		}
		s, err = c.Wait(t.Context(), "s1")
		if err != nil {
			t.Fatal(err)
		}
		w.expect(s, contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")
	})
}

// Starting the same saga twice gives one saga; a different input is a conflict (I2).
func TestStartTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.run("s1")
		c := client.New(w.bus)
		again, err := c.Start(t.Context(), checkout, order{"tea"}, client.ID("s1"))
		if err != nil || !again.Existed || again.Phase != contract.PhaseCompleted {
			t.Errorf("the same start again: %+v, %v", again, err)
		}
		if _, err := c.Start(t.Context(), checkout, order{"coffee"}, client.ID("s1")); !errors.Is(err, client.ErrConflict) {
			t.Errorf("the same id with another input: %v", err)
		}
		if n, _, err := w.store.Expire(t.Context(), time.Now().Add(time.Hour), time.Time{}, 10); n != 1 || err != nil {
			t.Fatalf("removed %d: %v", n, err)
		}
		w.restart(coordinator.Config{})
		again, err = c.Start(t.Context(), checkout, order{"tea"}, client.ID("s1"))
		if err != nil || !again.Existed || !again.Removed {
			t.Errorf("the same start after it was removed: %+v, %v", again, err)
		}
		run, err := c.Run(t.Context(), checkout, order{"tea"}, client.ID("s1"))
		if err != nil || !run.Existed || !run.Removed || run.Phase != contract.PhaseCompleted {
			t.Errorf("the same run after it was removed: %+v, %v", run, err)
		}
		if _, err := c.Start(t.Context(), checkout, order{"coffee"}, client.ID("s1")); !errors.Is(err, client.ErrConflict) {
			t.Errorf("the same id with another input after it was removed: %v", err)
		}
		w.expect(again, contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")
	})
}

// Starts are the same if their inputs are equal as values; the saga keeps the first input (I2).
func TestStartAgainByValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		c := client.New(w.bus)
		const first = `{"sku":"tea","amount":12345678901234567.10,"more":[1,"\u00e9"]}`
		start := func(input, contentType string) (*api.Saga, error) {
			return c.Start(t.Context(), checkout, json.RawMessage(input), client.ID("s1"), client.ContentType(contentType))
		}
		if s, err := start(first, "application/json"); err != nil || s.Existed {
			t.Fatalf("%+v, %v", s, err)
		}
		for _, when := range []string{"under way", "ended", "removed"} {
			switch when {
			case "ended":
				if _, err := c.Wait(t.Context(), "s1"); err != nil {
					t.Fatal(err)
				}
			case "removed":
				if n, _, err := w.store.Expire(t.Context(), time.Now().Add(time.Hour), time.Time{}, 10); n != 1 || err != nil {
					t.Fatalf("removed %d: %v", n, err)
				}
				w.restart(coordinator.Config{})
			}
			for _, same := range []struct{ input, contentType string }{
				{first, "application/json"},
				{`{ "more": [1.0, "é"], "amount": 123456789012345671e-1, "sku": "tea" }`, "application/json; charset=utf-8"},
			} {
				s, err := start(same.input, same.contentType)
				if err != nil || !s.Existed {
					t.Errorf("%s, %s: %+v, %v", when, same.input, s, err)
				}
				if in, err := w.store.Load(t.Context(), "s1"); when != "removed" && (err != nil || string(in.Input) != first) {
					t.Errorf("%s: it is %+v, %v", when, in, err)
				}
			}
			for _, other := range []struct{ input, contentType string }{
				{strings.Replace(first, ".10", ".11", 1), "application/json"},
				{strings.Replace(first, ".10", "", 1), "application/json"},
				{first, "text/plain"},
			} {
				if _, err := start(other.input, other.contentType); !errors.Is(err, client.ErrConflict) {
					t.Errorf("%s, %s %s: %v", when, other.contentType, other.input, err)
				}
			}
		}
	})
}

// A restarted coordinator continues where it stopped (I2).
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.when(func(action string, _ int) error {
			if action == "charge" {
				return errors.New("bank is down")
			}
			return nil
		})
		c := client.New(w.bus)
		for i := range 20 {
			if _, err := c.Start(t.Context(), checkout, order{"tea"}, client.ID(contract.SagaID(fmt.Sprintf("s%d", i)))); err != nil {
				t.Fatal(err)
			}
		}
		w.restart(coordinator.Config{})
		w.when(func(string, int) error { return nil })
		for i := range 20 {
			s, err := c.Wait(t.Context(), contract.SagaID(fmt.Sprintf("s%d", i)))
			if err != nil || s.Phase != contract.PhaseCompleted {
				t.Errorf("after a restart: %+v, %v", s, err)
			}
		}
	})
}

// A bus that loses all messages costs latency, but loses no saga and no attempt (I2).
func TestBusForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices() // the commands wait on the bus
		c := client.New(w.bus)
		for i := range 10 {
			if _, err := c.Start(t.Context(), checkout, order{"tea"}, client.ID(contract.SagaID(fmt.Sprintf("s%d", i)))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := w.bus.Pending(transport.StreamCommands); n != 10 {
			t.Fatalf("%d commands in the bus, want 10", n)
		}
		w.bus.Forget()
		synctest.Wait()
		w.services()
		for i := range 10 {
			s, err := c.Wait(t.Context(), contract.SagaID(fmt.Sprintf("s%d", i)))
			if err != nil || s.Phase != contract.PhaseCompleted {
				t.Fatalf("after the bus forgot: %+v, %v", s, err)
			}
			if s.Steps[0].Attempt != 1 {
				t.Errorf("the loss cost an attempt: %+v", s.Steps[0])
			}
		}
	})
}

// With every kind of fault on the bus, every saga ends, and every step either has its effect
// exactly once or is undone.
func TestFaultyBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, healed := 0, atomic.Bool{}
		w := newFixture(t, membus.Options{Fault: func(s transport.Stream, e *transport.Envelope) membus.Fate {
			if s == transport.StreamDeadLetters || healed.Load() {
				return membus.Fate{}
			}
			n++
			switch n % 7 {
			case 1:
				return membus.Fate{Drop: true}
			case 2:
				return membus.Fate{Duplicate: 2}
			case 3:
				return membus.Fate{Delay: 7 * time.Second}
			case 4:
				return membus.Fate{Reorder: true}
			case 5:
				return membus.Fate{Refuse: errors.New("stream is full")}
			}
			return membus.Fate{}
		}})
		defer w.close()
		c := client.New(w.bus)
		for i := range 30 {
			if _, err := c.Start(t.Context(), checkout, order{"tea"}, client.ID(contract.SagaID(fmt.Sprintf("s%d", i)))); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 30 {
			s, err := c.Wait(t.Context(), contract.SagaID(fmt.Sprintf("s%d", i)))
			for err == nil && s.Phase == contract.PhaseParked { // every attempt of the pivot may have been lost
				healed.Store(true)
				if _, err = c.Operate(t.Context(), s.ID, api.Decision{Operation: "retry", By: "kim", Reason: "the bus is fixed"}); err == nil {
					s, err = c.Wait(t.Context(), s.ID)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Phase != contract.PhaseCompleted && s.Phase != contract.PhaseCompensated {
				t.Errorf("%s: %s", s.ID, s.Phase)
			}
			did := map[string]int{}
			w.mu.Lock()
			for _, line := range w.ledger {
				if id, action, _ := strings.Cut(line, " "); id == string(s.ID) {
					did[action]++
				}
			}
			w.mu.Unlock()
			for action, times := range did {
				if times != 1 {
					t.Errorf("I5: %s did %s %d times", s.ID, action, times)
				}
			}
			if s.Phase == contract.PhaseCompensated && (did["reserve"] != did["release"] || did["charge"] != did["refund"] || did["ship"] != 0) {
				t.Errorf("I3: %s is compensated after %v", s.ID, did)
			}
		}
	})
}

// An invalid event becomes a dead letter with a reason, and affects no other saga (I9).
func TestBadEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.when(func(action string, _ int) error {
			if action == "charge" {
				return errors.New("later")
			}
			return nil
		})
		c := client.New(w.bus)
		if _, err := c.Start(t.Context(), checkout, order{"tea"}, client.ID("s1")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, bad := range []transport.Envelope{
			{Subject: "saga.event.bank.s1.charge", Type: transport.TypeCompleted},
			{Subject: "saga.event.bank.nobody.7.charge.do.1", Type: transport.TypeCompleted},
			{Subject: "saga.event.bank.s1.7.charge.do.1", Type: transport.TypeCompleted},
			{Subject: "saga.event.stock.s1.9bkkzr8qo0.charge.do.1", Type: transport.TypeCompleted},
			{Subject: "saga.event.bank.s1.9bkkzr8qo0.fly.do.1", Type: transport.TypeCompleted},
			{Subject: "saga.event.post.s1.9bkkzr8qo0.ship.do.1", Type: transport.TypeCompleted},
			{Subject: "saga.event.bank.s1.9bkkzr8qo0.charge.do.9", Type: transport.TypeCompleted},
			{Subject: "saga.event.bank.s1.9bkkzr8qo0.charge.do.1", Type: transport.TypeCommand},
		} {
			if errs := w.bus.Publish(t.Context(), []transport.Envelope{bad}); errs != nil {
				t.Fatal(errs)
			}
		}
		reasons := w.deadLetters()
		wants := []string{
			"3 tokens after event instead of 6", "saga nobody: no such saga", "the saga with this id was started at 2000-01-01T00:00:00Z", "a participant that does not own this step", "no such step",
			"not waiting in this direction", "attempt not sent yet", "dev.amends.command.v1",
		}
		for _, want := range wants {
			if n := len(slices.DeleteFunc(slices.Clone(reasons), func(r string) bool { return !strings.Contains(r, want) })); n != 1 {
				t.Errorf("%d dead letters say %q, want 1", n, want)
			}
		}
		if len(reasons) != len(wants) {
			t.Errorf("%d dead letters, want %d: %q", len(reasons), len(wants), reasons)
		}
		w.when(func(string, int) error { return nil })
		s, err := c.Wait(t.Context(), "s1")
		if err != nil {
			t.Fatal(err)
		}
		w.expect(s, contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")
	})
}

// The sender of an invalid request gets a clear error (I9, I10).
func TestBadRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.restart(coordinator.Config{MaxOpen: 1})
		ask := func(method string, e transport.Envelope) string {
			t.Helper()
			e.Subject = transport.Subjects{}.API(method)
			reply, err := w.bus.Request(t.Context(), &e)
			if err != nil {
				t.Fatal(err)
			}
			return reply.Code + ": " + reply.Reason
		}
		tea := []byte(`{"sku":"tea"}`)
		for _, c := range []struct {
			method string
			e      transport.Envelope
			want   []string
		}{
			{"start", transport.Envelope{Saga: "a", Data: tea}, []string{"invalid_argument", "names no definition"}},
			{"start", transport.Envelope{Saga: "a", Definition: contract.DefinitionRef{Name: "nothing"}, Data: tea}, []string{"not_found", "not registered: register it with: coordinator definition apply FILE"}},
			{"start", transport.Envelope{Saga: "a", Definition: contract.DefinitionRef{Name: "checkout", Version: 9}, Data: tea}, []string{"not_found", "not version 9", "coordinator definition apply FILE"}},
			{"start", transport.Envelope{Saga: "a.b", Definition: checkout.Ref(), Data: tea}, []string{"invalid_argument", "has '.'"}},
			{"start", transport.Envelope{Saga: contract.SagaID(strings.Repeat("x", 10_000)), Definition: checkout.Ref(), Data: tea}, []string{"invalid_argument", "10000 characters"}},
			{"start", transport.Envelope{Saga: "a", Definition: checkout.Ref(), Data: []byte(`{"sku":`)}, []string{"invalid_argument", "not valid JSON"}},
			{"start", transport.Envelope{Saga: "a", Definition: checkout.Ref(), Data: make([]byte, contract.MaxPayload+1)}, []string{"invalid_argument", "MaxPayload"}},
			{"get", transport.Envelope{Data: []byte(`{"id":"nobody"}`)}, []string{"not_found", "no such saga"}},
			{"wait", transport.Envelope{Data: []byte(`{"id":"nobody"}`)}, []string{"not_found", "no such saga"}},
			{"wait", transport.Envelope{Data: []byte(`{"id":"no body"}`)}, []string{"invalid_argument", "has ' '"}},
			{"history", transport.Envelope{Data: []byte(`{"id":"nobody"}`)}, []string{"not_found"}},
			{"operate", transport.Envelope{Data: []byte(`{"id":"nobody","decision":{"operation":"cancel","by":"kim","reason":"x"}}`)}, []string{"not_found"}},
			{"operate", transport.Envelope{Data: []byte(`{"id":"nobody","decision":{"operation":"cancel","who":"kim"}}`)}, []string{"invalid_argument", "decision.who: is unknown"}},
			{"list", transport.Envelope{Data: []byte(`{"limit":100000}`)}, []string{"invalid_argument", "1 to 1000"}},
			{"list", transport.Envelope{Data: []byte(`{"cursor":"zzz"}`)}, []string{"invalid_argument"}},
			{"register-definition", transport.Envelope{Data: []byte(`{"source":"{\"name\":\"Bad Name\"}"}`)}, []string{"invalid_argument", "Bad Name"}},
			{"register-definition", transport.Envelope{Data: []byte(`{"source":"name: checkout\nversion: 1\nsteps: [{step: {name: a, kind: retriable, do: {participant: p, action: a}}}]"}`)}, []string{"already_exists", "new version"}},
		} {
			got := ask(c.method, c.e)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("%s answers %q, which does not say %q", c.method, got, want)
				}
			}
		}
		w.stopServices()
		if got := ask("start", transport.Envelope{Saga: "one", Definition: checkout.Ref(), Data: tea}); got != ": " {
			t.Errorf("the first start: %q", got)
		}
		synctest.Wait()
		if got := ask("start", transport.Envelope{Saga: "two", Definition: checkout.Ref(), Data: tea}); !strings.Contains(got, "resource_exhausted") || !strings.Contains(got, "MaxOpen") {
			t.Errorf("a start beyond MaxOpen: %q", got)
		}
		w.services()
	})
}

// TestRefusedStartsTakeTurns checks that the first refused caller is told to retry soon, and each
// further caller later.
func TestRefusedStartsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		var seen refusals
		w.restart(coordinator.Config{MaxOpen: 1, Observer: &seen})
		w.stopServices()
		c := client.New(w.bus)
		if _, err := c.Start(t.Context(), checkout, order{"tea"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		told := func() time.Duration {
			_, err := c.Start(t.Context(), checkout, order{"tea"})
			var refused *client.Error
			if !errors.Is(err, client.ErrOverloaded) || !errors.As(err, &refused) {
				t.Fatalf("beyond MaxOpen: %v", err)
			}
			return refused.RetryAfter
		}
		if d := told(); d != time.Second {
			t.Errorf("the first one is told to wait %s", d)
		}
		time.Sleep(2 * time.Second) // virtual: the pace is known
		var last time.Duration
		for range 5000 {
			last = told()
		}
		if last < 4*time.Second || last > 6*time.Second {
			t.Errorf("the 5,000th at once is told to wait %s, and a thousand are let in a second at least", last)
		}
		time.Sleep(time.Second) // virtual: the current second is not in the rate
		if o := w.overview(); o.RefusedPerSecond != 500.1 || !maps.Equal(seen.by, map[string]int{coordinator.LimitOpen: 5001}) {
			t.Errorf("5,001 starts were refused, and it counts %v, %v a second", seen.by, o.RefusedPerSecond)
		}
		w.services()
	})
}

// Starts are refused while too many committed messages wait for the bus, and accepted again
// afterwards (I10).
func TestStartsWaitForTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		full.Store(true)
		w := newFixture(t, membus.Options{Fault: func(stream transport.Stream, _ *transport.Envelope) (fate membus.Fate) {
			if stream == transport.StreamCommands && full.Load() {
				fate.Refuse = transport.ErrFull
			}
			return fate
		}})
		defer w.close()
		var seen refusals
		w.restart(coordinator.Config{MaxBacklog: 3, Observer: &seen})
		started := 0
		var err error
		for ; err == nil && started < 100; started++ {
			_, err = client.New(w.bus).Start(t.Context(), checkout, order{"tea"})
			time.Sleep(time.Second) // virtual: the relay has tried
		}
		var refused *client.Error
		if !errors.Is(err, client.ErrOverloaded) || !errors.As(err, &refused) || refused.RetryAfter <= 0 || !strings.Contains(refused.Reason, "MaxBacklog") || started > 10 {
			t.Fatalf("after %d starts: %v", started, err)
		}
		if !maps.Equal(seen.by, map[string]int{coordinator.LimitBacklog: 1}) {
			t.Errorf("one start was refused for the backlog, and it counts %v", seen.by)
		}
		full.Store(false)
		time.Sleep(10 * time.Second)
		w.run("later")
	})
}

// Waiting callers get an error when the coordinator stops.
func TestStoppingAnswersThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices()
		if _, err := client.New(w.bus).Start(t.Context(), checkout, order{"tea"}, client.ID("one")); err != nil {
			t.Fatal(err)
		}
		began, answers := time.Now(), make(chan string, 1)
		go func() {
			e, err := w.bus.Request(t.Context(), &transport.Envelope{
				Subject: transport.Subjects{}.API(api.MethodWait), Type: transport.TypeRequest, Expires: began.Add(time.Minute), Data: []byte(`{"id":"one","timeout":"60s"}`),
			})
			if err != nil {
				answers <- err.Error()
				return
			}
			answers <- e.Code + ": " + e.Reason
		}()
		synctest.Wait()
		if err := w.stopCoordinator(); err != nil {
			t.Error(err)
		}
		if got := <-answers; !strings.HasPrefix(got, "unavailable: the coordinator is stopping") || time.Since(began) > 10*time.Second {
			t.Errorf("after %s it was answered %q", time.Since(began), got)
		}
		w.start(coordinator.Config{})
		w.services()
	})
}

// If the store fails, Run ends with its error.
func TestBrokenStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		w.mu.Lock()
		w.diskError = errors.New("input/output error")
		w.mu.Unlock()
		c := client.New(w.bus)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Start(ctx, checkout, order{"tea"}, client.ID("s1")); err == nil {
			t.Error("a start was acknowledged although its commit failed")
		}
		if err := w.stopCoordinator(); err == nil || !strings.Contains(err.Error(), "input/output error") {
			t.Errorf("Run returned %v", err)
		}
		w.stopServices()
		_ = w.dead.Close()
		w.bus.Close()
	})
}
