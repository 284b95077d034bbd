//go:build lab

package console_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
)

// limit is the longest that a test waits for something that must happen.
const limit = 60 * time.Second

type purchase struct {
	Order string `json:"order"`
	Cents int    `json:"cents"`
	Note  string `json:"note,omitempty"`
}

type receipt struct {
	Receipt string `json:"receipt"`
}

var (
	check   = contract.NewCommand[purchase, struct{}]("order", "check")
	reserve = contract.NewCommand[purchase, receipt]("inventory", "reserve")
	release = contract.UndoOf(reserve, "release")
	charge  = contract.NewCommand[purchase, receipt]("payment", "charge")
	refund  = contract.UndoOf(charge, "refund")
	book    = contract.NewCommand[purchase, receipt]("shipping", "book")
	confirm = contract.NewCommand[purchase, struct{}]("order", "confirm")
)

// checkout is a definition with a parallel, undos, a pivot, and a step after the pivot.
func checkout(version int, timeout time.Duration) *saga.Definition {
	return saga.MustDefine[purchase]("checkout", saga.Version(version), saga.Timeout(timeout), saga.Deadline(time.Hour),
		saga.Compensable("check-address", saga.Do(check), saga.NothingToUndo()),
		saga.Parallel(
			saga.Compensable("reserve-stock", saga.Do(reserve), saga.Undo(release)),
			saga.Compensable("charge-card", saga.Do(charge, saga.Retry(3, 100*time.Millisecond, time.Second)), saga.Undo(refund)),
		),
		saga.Pivot("book-shipment", saga.Do(book, saga.Retry(1, time.Second, time.Second))),
		saga.Retriable("confirm", saga.Do(confirm)))
}

// world is a coordinator with its console, and the services of a shop.
type world struct {
	server.Addresses
	coordinator *server.Server
	apiv1connect.CoordinatorServiceClient
	http *http.Client

	mu     sync.Mutex
	decide func(ctx context.Context, action string, p purchase) error
}

// newWorld starts a world that runs until the test ends.
func newWorld(t *testing.T, change ...func(*server.Config)) *world {
	t.Helper()
	config := server.Config{
		DataDir: t.TempDir(), HTTP: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		Definitions: []*saga.Definition{checkout(1, time.Minute), checkout(2, 2*time.Minute)},
	}
	for _, f := range change {
		f(&config)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := server.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w := &world{Addresses: s.Addresses(), coordinator: s, http: &http.Client{Transport: &http.Transport{}}}
	w.when(func(context.Context, string, purchase) error { return nil })
	t.Cleanup(w.http.CloseIdleConnections)
	w.CoordinatorServiceClient = apiv1connect.NewCoordinatorServiceClient(w.http, w.HTTP)
	w.services(t)
	return w
}

// when sets how the services answer from now on.
func (w *world) when(decide func(ctx context.Context, action string, p purchase) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.decide = decide
}

func (w *world) act(ctx context.Context, action string, p purchase) error {
	w.mu.Lock()
	decide := w.decide
	w.mu.Unlock()
	return decide(ctx, action, p)
}

func (w *world) services(t *testing.T) {
	t.Helper()
	service := func(name string) *participant.Participant[*participant.MemoryTx] {
		return participant.New(name, &participant.MemoryInbox{}, participant.Logger(slog.New(slog.DiscardHandler)))
	}
	order, inventory, payment, shipping := service("order"), service("inventory"), service("payment"), service("shipping")
	answer(w, order, check, func(purchase) struct{} { return struct{}{} })
	answer(w, order, confirm, func(purchase) struct{} { return struct{}{} })
	answer(w, inventory, reserve, func(p purchase) receipt { return receipt{"shelf-7/" + p.Order} })
	answer(w, payment, charge, func(p purchase) receipt { return receipt{"r-" + p.Order} })
	answer(w, shipping, book, func(p purchase) receipt { return receipt{"parcel-" + p.Order} })
	takeBack(w, inventory, release, "release")
	takeBack(w, payment, refund, "refund")
	bus, err := w.coordinator.Connect(t.Context(), "services")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, p := range []*participant.Participant[*participant.MemoryTx]{order, inventory, payment, shipping} {
		running.Go(func() {
			if err := p.Run(ctx, bus); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); running.Wait(); _ = bus.Close() })
}

func answer[Res any](w *world, p *participant.Participant[*participant.MemoryTx], c contract.Command[purchase, Res], result func(purchase) Res) {
	participant.Handle(p, c, func(ctx context.Context, _ *participant.MemoryTx, in purchase) (Res, error) {
		return result(in), w.act(ctx, c.Action(), in)
	})
}

func takeBack(w *world, p *participant.Participant[*participant.MemoryTx], c contract.UndoCommand[purchase, receipt], action string) {
	participant.HandleUndo(p, c, func(ctx context.Context, _ *participant.MemoryTx, u contract.Undo[purchase, receipt]) error {
		return w.act(ctx, action, u.Request)
	})
}

// start starts a saga.
func (w *world) start(t *testing.T, id string) {
	t.Helper()
	w.startWith(t, id, "leave it at the door")
}

func (w *world) startWith(t *testing.T, id, note string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := w.Start(ctx, connect.NewRequest(&apiv1.StartRequest{
		Id: id, Definition: &apiv1.DefinitionRef{Name: "checkout"}, Input: `{"order": "` + id + `", "cents": 4200, "note": "` + note + `"}`,
	})); err != nil {
		t.Fatal(err)
	}
}

// rests waits until the saga has ended or is parked, and returns its phase.
func (w *world) rests(t *testing.T, id string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r, err := w.Wait(ctx, connect.NewRequest(&apiv1.WaitRequest{Id: id, Timeout: durationpb.New(limit)}))
	if err != nil {
		t.Fatal(err)
	}
	return r.Msg.Saga.Phase
}

var errVan = errors.New("the van broke down on the motorway")

// vanBreaks makes the shipment fail. It has one attempt, so the saga is parked.
func vanBreaks(_ context.Context, action string, _ purchase) error {
	if action == "book" {
		return errVan
	}
	return nil
}

// stranger publishes a malformed answer, which becomes a dead letter.
func (w *world) stranger(t *testing.T, id string) {
	t.Helper()
	bus, err := w.coordinator.Connect(t.Context(), "stranger")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	if _, err := bus.Conn().Request("saga.event.payment."+id+".charge-card.do.1", []byte(`{"heard": "something"}`), limit); err != nil {
		t.Fatal(err)
	}
}
