package coordinator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

type order struct {
	Sku string `json:"sku"`
}
type reserved struct {
	Shelf string `json:"shelf"`
}
type charged struct {
	Receipt int `json:"receipt"`
}

var (
	reserve = contract.NewCommand[order, reserved]("stock", "reserve")
	release = contract.UndoOf(reserve, "release")
	charge  = contract.NewCommand[order, charged]("bank", "charge")
	refund  = contract.UndoOf(charge, "refund")
	ship    = contract.NewCommand[order, struct{}]("post", "ship")

	checkout = saga.MustDefine[order]("checkout", saga.Deadline(time.Hour), saga.Timeout(5*time.Second),
		saga.Compensable("reserve", saga.Do(reserve), saga.Undo(release)),
		saga.Compensable("charge", saga.Do(charge, saga.Retry(3, time.Second, 4*time.Second)), saga.Undo(refund)),
		saga.Pivot("ship", saga.Do(ship)))
)

// fixture is a complete system in one process and in virtual time: bus, store, coordinator and
// three services. The test determines the answers of the services.
type fixture struct {
	t     *testing.T
	bus   *membus.Bus
	store *memstore.Store
	dead  transport.Source

	inboxes [3]participant.MemoryInbox // of the services, over their restarts

	mu        sync.Mutex
	ledger    []string // what the services did, in order
	decide    func(action string, attempt int) error
	diskError error // the error of the next commit

	stopCoordinator func() error
	stopServices    func()
}

func newFixture(t *testing.T, options membus.Options) *fixture {
	w := fixtureWithout(t, options)
	w.start(coordinator.Config{})
	return w
}

// fixtureWithout returns a fixture without a coordinator.
func fixtureWithout(t *testing.T, options membus.Options) *fixture {
	w := &fixture{t: t, bus: membus.New(options), store: memstore.New(), decide: func(string, int) error { return nil }}
	w.store.Hooks.Before = func([]store.Change) ([]error, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return nil, w.diskError
	}
	var err error
	w.dead, err = w.bus.Subscribe(t.Context(), transport.Subscription{Stream: transport.StreamDeadLetters, Name: "audit"})
	if err != nil {
		t.Fatal(err)
	}
	w.services()
	return w
}

func (w *fixture) start(config coordinator.Config) *coordinator.Coordinator {
	w.t.Helper()
	if config.Store == nil {
		config.Store = w.store
	}
	if config.Bus == nil {
		config.Bus = w.bus
	}
	config.Definitions = []*saga.Definition{checkout}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.Secret = []byte("secret")
	c, err := coordinator.New(config)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	w.stopCoordinator = sync.OnceValue(func() error { cancel(); return <-done })
	synctest.Wait()
	if err := c.Ready(w.t.Context()); err != nil {
		w.t.Fatalf("not ready: %v", err)
	}
	return c
}

// services starts the services, at first or again.
func (w *fixture) services() {
	stock := participant.New("stock", &w.inboxes[0], participant.Logger(slog.New(slog.DiscardHandler)))
	participant.Handle(stock, reserve, func(ctx context.Context, _ *participant.MemoryTx, o order) (reserved, error) {
		return reserved{"A7"}, w.act(ctx, "reserve")
	})
	participant.HandleUndo(stock, release, func(ctx context.Context, _ *participant.MemoryTx, u contract.Undo[order, reserved]) error {
		return w.act(ctx, "release")
	})
	bank := participant.New("bank", &w.inboxes[1], participant.Logger(slog.New(slog.DiscardHandler)))
	participant.Handle(bank, charge, func(ctx context.Context, _ *participant.MemoryTx, o order) (charged, error) {
		return charged{7}, w.act(ctx, "charge")
	})
	participant.HandleUndo(bank, refund, func(ctx context.Context, _ *participant.MemoryTx, u contract.Undo[order, charged]) error {
		return w.act(ctx, "refund")
	})
	post := participant.New("post", &w.inboxes[2], participant.Logger(slog.New(slog.DiscardHandler)))
	participant.Handle(post, ship, func(ctx context.Context, _ *participant.MemoryTx, o order) (struct{}, error) {
		return struct{}{}, w.act(ctx, "ship")
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, p := range []interface {
		Run(context.Context, transport.Bus) error
	}{stock, bank, post} {
		running.Go(func() {
			if err := p.Run(ctx, w.bus); err != nil {
				w.t.Errorf("service: %v", err)
			}
		})
	}
	w.stopServices = sync.OnceFunc(func() { cancel(); running.Wait() })
}

func (w *fixture) act(ctx context.Context, action string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.decide(action, participant.Command(ctx).Attempt); err != nil {
		return err
	}
	w.ledger = append(w.ledger, string(participant.KeyFrom(ctx).Saga)+" "+action)
	return nil
}

// when sets the function that decides the services' answers from now on.
func (w *fixture) when(decide func(action string, attempt int) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.decide = decide
}

func (w *fixture) close() {
	w.t.Helper()
	if err := w.stopCoordinator(); err != nil {
		w.t.Errorf("coordinator: %v", err)
	}
	w.stopServices()
	if err := w.dead.Close(); err != nil {
		w.t.Error(err)
	}
	w.bus.Close()
	w.everythingFolds()
}

// everythingFolds checks I8 for every saga of checkout in the store, and that ended sagas have no
// pending messages.
func (w *fixture) everythingFolds() {
	w.t.Helper()
	ctx := context.Background()
	found, _, err := w.store.List(ctx, store.Filter{}, store.Page{Limit: store.MaxPage})
	if err != nil {
		w.t.Fatal(err)
	}
	ended := map[contract.SagaID]bool{}
	for _, s := range found {
		in, err := w.store.Load(ctx, s.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		events, err := w.store.History(ctx, s.ID, 1, machine.MaxHistory)
		if err != nil {
			w.t.Fatal(err)
		}
		if in.Definition != checkout.Ref() {
			continue
		}
		folded, err := machine.Fold(checkout.Plan(), events)
		if err != nil {
			w.t.Fatalf("I8: %s: %v", s.ID, err)
		}
		a, _ := json.Marshal(in)
		b, _ := json.Marshal(folded)
		if string(a) != string(b) {
			w.t.Errorf("I8: %s: stored %s, folded %s", s.ID, a, b)
		}
		ended[s.ID] = !in.Open()
	}
	err = outbox.All(ctx, w.store, func(_ outbox.Position, r outbox.Record) bool {
		if r.Answered() && ended[r.ID.Saga] {
			w.t.Errorf("I2: %s has ended and still has pending %s", r.ID.Saga, r.Envelope.ID)
		}
		return true
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *fixture) deadLetters() []string {
	w.t.Helper()
	var reasons []string
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	for {
		batch, err := w.dead.Receive(ctx, 100)
		if err != nil {
			return reasons
		}
		for _, d := range batch {
			reasons = append(reasons, d.Envelope().Reason)
			d.Ack()
		}
	}
}

func (w *fixture) run(id string) *api.Saga {
	w.t.Helper()
	c := client.New(w.bus)
	if _, err := c.Start(w.t.Context(), checkout, order{"tea"}, client.ID(contract.SagaID(id))); err != nil {
		w.t.Fatal(err)
	}
	s, err := c.Wait(w.t.Context(), contract.SagaID(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *fixture) expect(s *api.Saga, phase contract.Phase, ledger ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.Phase != phase || !slices.Equal(w.ledger, ledger) {
		w.t.Errorf("saga %s is %s (%s), services did %q; want %s, %q", s.ID, s.Phase, s.Reason, w.ledger, phase, ledger)
	}
}

// of returns a request about a saga: the JSON object data with the saga's id, in which data is the
// decision if decision is set.
func of(id contract.SagaID, data string, decision bool) []byte {
	switch {
	case decision:
		return fmt.Appendf(nil, `{"id":%q,"decision":%s}`, id, data)
	case data == "" || data == "{}":
		return fmt.Appendf(nil, `{"id":%q}`, id)
	}
	return fmt.Appendf(nil, `{"id":%q,%s`, id, data[1:])
}

// sagaIn decodes a response with a saga.
func sagaIn(t *testing.T, e *transport.Envelope) *api.Saga {
	t.Helper()
	var response api.GetResponse
	if err := json.Unmarshal(e.Data, &response); err != nil || response.Saga == nil {
		t.Fatalf("the response is %s, %v", e.Data, err)
	}
	return response.Saga
}

// overview returns the coordinator's overview.
func (w *fixture) overview() (o api.Overview) {
	w.t.Helper()
	e, err := w.bus.Request(w.t.Context(), &transport.Envelope{
		Subject: transport.Subjects{}.API(api.MethodGetOverview), Type: transport.TypeRequest, Expires: time.Now().Add(time.Minute),
	})
	var response api.GetOverviewResponse
	if err == nil {
		err = json.Unmarshal(e.Data, &response)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return *response.Overview
}

// refusals is an Observer that counts refused starts by limit.
type refusals struct {
	mu sync.Mutex
	by map[string]int
}

func (r *refusals) StartRefused(limit string, _ time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[string]int{}
	}
	r.by[limit]++
}

func (r *refusals) Transition(coordinator.Transition) {}
func (r *refusals) Ignored(machine.Ignored)           {}
func (r *refusals) DeadLetter(string)                 {}
func (r *refusals) Committed(int, time.Duration)      {}
func (r *refusals) Published(int, int)                {}
func (r *refusals) AnnouncementsDropped(int)          {}
func (r *refusals) ClockSet(time.Duration)            {}
func (r *refusals) TimersOvertook()                   {}
func (r *refusals) TraceDropped()                     {}

func (w *fixture) restart(config coordinator.Config) {
	w.t.Helper()
	if err := w.stopCoordinator(); err != nil {
		w.t.Fatal(err)
	}
	w.start(config)
}
