package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// stiff is a store and a bus whose expensive calls block until they are released.
type stiff struct {
	*memstore.Store

	letGo chan struct{}
}

func (s *stiff) List(ctx context.Context, f store.Filter, p store.Page) ([]store.Summary, string, error) {
	select {
	case <-s.letGo:
		return s.Store.List(ctx, f, p)
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
}

type stiffBus struct {
	*membus.Bus

	letGo chan struct{}
}

func (b *stiffBus) hold(ctx context.Context) error {
	select {
	case <-b.letGo:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *stiffBus) ReplayDeadLetter(ctx context.Context, sequence uint64) error {
	if sequence == quick {
		return nil
	}
	return b.hold(ctx)
}

// quick is the sequence of a dead letter whose replay does not block.
const quick = 100

func (b *stiffBus) DiscardDeadLetter(ctx context.Context, _ uint64) error { return b.hold(ctx) }

func (b *stiffBus) PurgeDeadLetters(ctx context.Context, _ transport.DeadLetterFilter, _ bool) (int, uint64, error) {
	return 0, 0, b.hold(ctx)
}

// crowd sends requests to a coordinator in the names of several callers.
type crowd struct {
	t    *testing.T
	bus  transport.Requester
	held int                      // number of requests without a reply so far
	came chan *transport.Envelope // their replies
}

// ask sends a request that may be held, and returns its reply, or nil if it is held.
func (c *crowd) ask(caller, method string, data any) *transport.Envelope {
	c.t.Helper()
	raw, err := json.Marshal(data)
	if err != nil {
		c.t.Fatal(err)
	}
	c.held++
	go func() {
		reply, err := c.bus.Request(context.Background(), &transport.Envelope{
			Subject: transport.Subjects{}.API(method), Type: transport.TypeRequest, Caller: caller, Data: raw, Expires: time.Now().Add(time.Minute),
		})
		if err != nil {
			reply = &transport.Envelope{Code: err.Error()}
		}
		c.came <- reply
	}()
	synctest.Wait()
	select {
	case reply := <-c.came:
		c.held--
		return reply
	default:
		return nil
	}
}

// refused sends a request, and expects that a limit refuses it.
func (c *crowd) refused(caller, method string, data any, limit string) {
	c.t.Helper()
	reply := c.ask(caller, method, data)
	if reply == nil {
		c.t.Errorf("%s by %s is held, want that it is refused by %s", method, caller, limit)
	} else if reply.Code != string(api.CodeResourceExhausted) || !strings.Contains(reply.Reason, limit) || reply.RetryAfter <= 0 {
		c.t.Errorf("%s by %s: %q %q, again in %s; want that it is refused by %s", method, caller, reply.Code, reply.Reason, reply.RetryAfter, limit)
	}
}

// is sends a request, and expects that it is held or served at once.
func (c *crowd) is(held bool, caller, method string, data any) {
	c.t.Helper()
	if reply := c.ask(caller, method, data); (reply == nil) != held || reply != nil && reply.Code != "" {
		c.t.Errorf("%s by %s: answered %v, %.300s; want that it is held: %v", method, caller, reply != nil, said(reply), held)
	}
}

// said describes a reply, which may be nil.
func said(reply *transport.Envelope) string {
	if reply == nil {
		return "nothing"
	}
	return reply.Code + " " + reply.Reason + string(reply.Data)
}

// newCrowd returns a crowd for a coordinator with one ended saga, called one. All expensive calls
// block until letGo is called.
func newCrowd(t *testing.T, w *fixture) (c *crowd, letGo func()) {
	t.Helper()
	w.run("one")
	if err := w.stopCoordinator(); err != nil {
		t.Fatal(err)
	}
	free := make(chan struct{})
	w.start(coordinator.Config{Store: &stiff{w.store, free}, Bus: &stiffBus{w.bus, free}})
	c = &crowd{t: t, bus: w.bus, came: make(chan *transport.Envelope, 10_000)}
	return c, func() {
		close(free)
		for range c.held {
			<-c.came
		}
	}
}

var everyOpen = api.OperatePageRequest{Filter: api.Filter{Open: true}, Decision: api.Decision{Operation: "cancel", By: "ada", Reason: "a test"}}

// TestBulkIsApart checks that two bulk requests of one caller run at the same time, and eight of
// all callers together. No other request waits for them (I13).
func TestBulkIsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		c, letGo := newCrowd(t, w)
		letters := api.ReplayDeadLettersRequest{Sequences: []uint64{1}, By: "ada"}
		bulk := []struct {
			method string
			data   any
		}{
			{api.MethodOperatePage, everyOpen}, {api.MethodReplayDeadLetters, letters}, {api.MethodDiscardDeadLetters, letters},
			{api.MethodPurgeDeadLetters, api.PurgeDeadLettersRequest{All: true, By: "ada"}},
		}
		for i, caller := range []string{"ada", "kim", "bo", "cy"} {
			c.is(true, caller, bulk[i].method, bulk[i].data)
			c.is(true, caller, bulk[(i+1)%4].method, bulk[(i+1)%4].data)
			if i < 3 {
				for _, b := range bulk {
					c.refused(caller, b.method, b.data, "MaxBulkPerCaller")
				}
			}
		}
		c.refused("di", api.MethodOperatePage, everyOpen, "MaxBulk")
		for _, caller := range []string{"ada", "di", ""} {
			c.is(false, caller, api.MethodGet, api.GetRequest{ID: "one"})
			c.is(false, caller, api.MethodHistory, api.HistoryRequest{ID: "one"})
			c.is(false, caller, api.MethodListDeadLetters, api.ListDeadLettersRequest{})
		}
		letGo()
		c.is(false, "di", api.MethodOperatePage, everyOpen)
	})
}

// TestReplayInParts checks that a request that times out reports which dead letters it has
// replayed, so that nobody replays them again.
func TestReplayInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		c, letGo := newCrowd(t, w)
		c.is(true, "ada", api.MethodReplayDeadLetters, api.ReplayDeadLettersRequest{Sequences: []uint64{quick, 1, 2}, By: "ada"})
		time.Sleep(coordinator.MaxWait)
		reply := <-c.came
		c.held--
		var done api.ReplayDeadLettersResponse
		if err := json.Unmarshal(reply.Data, &done); err != nil || !slices.Equal(done.Replayed, []uint64{quick}) || len(done.Failed) != 2 {
			t.Errorf("it says %s, %v", said(reply), err)
		}
		letGo()
	})
}

// TestReadsAreShared checks that one caller's reads leave at least as many slots as they use.
func TestReadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		c, letGo := newCrowd(t, w)
		for range coordinator.MaxReads / 2 {
			c.is(true, "ada", api.MethodList, api.ListRequest{})
		}
		c.refused("ada", api.MethodList, api.ListRequest{}, "MaxReads")
		c.is(false, "kim", api.MethodGet, api.GetRequest{ID: "one"})
		c.is(true, "kim", api.MethodList, api.ListRequest{})
		letGo()
		c.is(false, "ada", api.MethodGet, api.GetRequest{ID: "one"})
	})
}

// TestWatchesPerCaller checks that a caller can have as many watches as allowed, can open another
// as soon as one is answered, and does not lock out other callers.
func TestWatchesPerCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		w.start(coordinator.Config{MaxWatches: 3})
		c := &crowd{t: t, bus: w.bus, came: make(chan *transport.Envelope, 1000)}
		for range 3 {
			c.is(true, "ada", api.MethodPoll, api.PollRequest{ID: "one", Timeout: api.For(time.Minute)})
		}
		c.refused("ada", api.MethodPoll, api.PollRequest{ID: "one", Timeout: api.For(time.Minute)}, "MaxWatches")
		c.is(true, "kim", api.MethodPoll, api.PollRequest{ID: "one", Timeout: api.For(time.Minute)})
		w.run("one")
		for range 4 {
			if reply := <-c.came; reply.Code != "" {
				t.Errorf("a watch was answered %q %s", reply.Code, reply.Reason)
			}
		}
		for range 3 {
			c.is(true, "ada", api.MethodPoll, api.PollRequest{ID: "one", Timeout: api.For(time.Minute)})
		}
		time.Sleep(time.Minute)
	})
}

// TestWaitsPerCaller checks that one caller's wait requests do not use up the limit for all
// callers.
func TestWaitsPerCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.when(func(string, int) error { return errors.New("try again") })
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		k := w.start(coordinator.Config{})
		c := &crowd{t: t, bus: w.bus, came: make(chan *transport.Envelope, 1000)}
		start := transport.Envelope{Subject: transport.Subjects{}.API(api.MethodStart), Type: transport.TypeRequest, Saga: "one", Definition: checkout.Ref(), Data: []byte(`{}`)}
		if reply, err := w.bus.Request(t.Context(), &start); err != nil || reply.Code != "" {
			t.Fatal(reply, err)
		}
		undo := coordinator.FillWaiters(k, "ada")
		c.is(false, "ada", api.MethodWait, api.WaitRequest{ID: "one", Timeout: api.For(time.Minute)})
		c.is(true, "kim", api.MethodWait, api.WaitRequest{ID: "one", Timeout: api.For(time.Minute)})
		undo()
		c.is(true, "ada", api.MethodWait, api.WaitRequest{ID: "one", Timeout: api.For(time.Minute)})
		time.Sleep(2 * time.Minute)
	})
}

// TestBulkTakesTurns checks that a start does not wait behind all bulk decisions submitted earlier.
func TestBulkTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.when(func(string, int) error { return errors.New("try again") })
		c := &crowd{t: t, bus: w.bus, came: make(chan *transport.Envelope, 1000)}
		start := func(id contract.SagaID) {
			request := &transport.Envelope{Subject: transport.Subjects{}.API(api.MethodStart), Type: transport.TypeRequest, Saga: id, Definition: checkout.Ref(), Data: []byte(`{}`)}
			if reply, err := w.bus.Request(t.Context(), request); err != nil || reply.Code != "" {
				t.Errorf("start %s: %s, %v", id, said(reply), err)
			}
		}
		const many, batch = 64, 8
		for i := range many {
			start(contract.SagaID(fmt.Sprintf("old-%d", i)))
		}
		if err := w.stopCoordinator(); err != nil {
			t.Fatal(err)
		}
		seen := &gated{gate: make(chan struct{})}
		w.start(coordinator.Config{Shards: 1, MaxBatch: batch, MaxLinger: -1, Observer: seen})
		pause := api.OperatePageRequest{Filter: api.Filter{Open: true}, Decision: api.Decision{Operation: "pause", By: "ada", Reason: "a test"}}
		c.is(true, "ada", api.MethodOperatePage, pause)
		go start("new")
		synctest.Wait()
		close(seen.gate)
		if reply := <-c.came; reply.Code != "" {
			t.Error(said(reply))
		}
		synctest.Wait()
		if at := slices.Index(seen.sagas, "new"); at < 0 || at > 2*batch {
			t.Errorf("a start behind %d decisions is number %d, want it in the next batch of %d", many, at, batch)
		}
	})
}

// gated is an Observer that blocks the shard, and records the order in which sagas change.
type gated struct {
	refusals

	gate  chan struct{}
	sagas []contract.SagaID
}

func (o *gated) Transition(t coordinator.Transition) {
	<-o.gate
	o.sagas = append(o.sagas, t.Saga)
}
