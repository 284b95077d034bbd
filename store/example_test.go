package store_test

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"os"
	"testing"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/store/storetest"
)

// Journal wraps a store and logs each committed change. It overrides Commit and inherits the other
// methods.
type Journal struct {
	store.Store
	Lines *log.Logger
}

func (j *Journal) Commit(ctx context.Context, changes []store.Change) ([]error, error) {
	results, err := j.Store.Commit(ctx, changes)
	if err != nil {
		return results, err // it is unknown whether anything was committed
	}
	for i, c := range changes {
		if results[i] == nil {
			j.Lines.Println(c.Instance.ID, "revision", c.Instance.Revision, c.Instance.Phase)
		}
	}
	return results, nil
}

// TestJournal runs the conformance suite, as every custom store should.
func TestJournal(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Harness {
		m := memstore.New()
		open := func() store.Store { return &Journal{m, log.New(io.Discard, "", 0)} }
		return storetest.Harness{
			Store:  open(),
			Reopen: func(testing.TB) store.Store { m = m.Reopen(); return open() },
			Damage: func(t testing.TB, id contract.SagaID) {
				if !m.Spoil(id) {
					t.Fatalf("there is no saga %s", id)
				}
			},
		}
	})
}

var (
	Charge = contract.NewCommand[int, struct{}]("payment", "charge")
	Refund = contract.UndoOf(Charge, "refund")
	Ship   = contract.NewCommand[int, struct{}]("shipping", "ship")

	Order = saga.MustDefine[int]("order",
		saga.Compensable("charge", saga.Do(Charge), saga.Undo(Refund)),
		saga.Pivot("ship", saga.Do(Ship)))
)

// This example runs a server with a custom store. The data directory holds the streams of the
// embedded NATS server.
func Example() {
	dir, err := os.MkdirTemp("", "amends")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()
	s, err := server.Start(ctx, server.Config{
		Store: &Journal{memstore.New(), log.New(os.Stdout, "", 0)}, DataDir: dir,
		Definitions: []*saga.Definition{Order}, Logger: slog.New(slog.DiscardHandler),
	})
	check(err)
	bus, err := s.Connect(ctx, "services")
	check(err)
	defer bus.Close()

	payment := participant.New("payment", &participant.MemoryInbox{})
	participant.Handle(payment, Charge, participant.NoResult(func(context.Context, *participant.MemoryTx, int) error { return nil }))
	participant.HandleUndo(payment, Refund, participant.NoUndo)
	shipping := participant.New("shipping", &participant.MemoryInbox{})
	participant.Handle(shipping, Ship, participant.NoResult(func(context.Context, *participant.MemoryTx, int) error {
		return participant.Reject("no carrier")
	}))

	serving, leave := context.WithCancel(ctx)
	left := make(chan error, 2)
	go func() { left <- payment.Run(serving, bus) }()
	go func() { left <- shipping.Run(serving, bus) }()

	_, err = s.Client().Run(ctx, Order, 42, client.ID("order-42"))
	check(err)
	leave()
	check(errors.Join(<-left, <-left))
	check(s.Stop(ctx))
	// Output:
	// order-42 revision 1 running
	// order-42 revision 2 running
	// order-42 revision 3 compensating
	// order-42 revision 4 compensated
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
