package javascript

import (
	"context"
	"log/slog"
	"testing"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

type card struct {
	OrderID     string `json:"order_id"`
	AmountCents int    `json:"amount_cents"`
}

type receipt struct {
	Receipt string `json:"receipt"`
}

type parcel struct {
	OrderID string `json:"order_id"`
	Receipt string `json:"receipt"`
}

// The payment service is written in JavaScript, and the post in Go.
var (
	charge = contract.NewCommand[card, receipt]("payment", "charge-card")
	refund = contract.UndoOf(charge, "refund-card")
	ship   = contract.NewCommand[parcel, struct{}]("post", "ship")

	mail = saga.MustDefine[card]("mail-order",
		saga.Compensable("charge-card", saga.Do(charge), saga.Undo(refund)),
		saga.Pivot("ship", saga.Do(ship, saga.With(`{"order_id": input.order_id, "receipt": result.charge_card.receipt}`))))
)

// TestSaga runs sagas with the participant in JavaScript. It completes a step, undoes one, and
// rejects one.
func TestSaga(t *testing.T) {
	requireNode(t)
	url := newServer(t)
	c := runCoordinator(t, url) // creates the streams
	startParticipant(t, url)

	for id, want := range map[contract.SagaID]struct {
		cents  int
		phase  contract.Phase
		charge contract.StepStatus
	}{
		"sent":      {100, contract.PhaseCompleted, "done"},
		"returned":  {200, contract.PhaseCompensated, "undone"},
		"too-dear":  {4_200_000, contract.PhaseCompensated, "rejected"},
		"sent-more": {300, contract.PhaseCompleted, "done"},
	} {
		if _, err := c.Start(t.Context(), mail, card{string(id), want.cents}, client.ID(id)); err != nil {
			t.Fatal(err)
		}
		s, err := c.Wait(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if s.Phase != want.phase || s.Steps[0].Status != want.charge {
			t.Errorf("%s is %s (%s), its charge %s; want %s, %s", id, s.Phase, s.Reason, s.Steps[0].Status, want.phase, want.charge)
		}
	}
}

// runCoordinator runs a real coordinator and the post on the test's server.
func runCoordinator(t *testing.T, url string) *client.Client {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s, err := server.Start(t.Context(), server.Config{
		DataDir: t.TempDir(), Logger: quiet, Definitions: []*saga.Definition{mail},
		NATS: server.NATS{URL: url, Credentials: natsbus.Credentials{User: "coordinator", Password: password}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("coordinator: %v", err)
		}
	})
	bus, err := s.Connect(t.Context(), "post")
	if err != nil {
		t.Fatal(err)
	}
	runPost(t, bus, quiet)
	return client.New(bus)
}

func runPost(t *testing.T, bus *natsbus.Bus, quiet *slog.Logger) {
	t.Helper()
	post := participant.New("post", &participant.MemoryInbox{}, participant.Logger(quiet))
	participant.Handle(post, ship, func(_ context.Context, _ *participant.MemoryTx, p parcel) (struct{}, error) {
		if p.OrderID == "returned" {
			return struct{}{}, participant.Reject("address unknown")
		}
		if p.Receipt == "" {
			t.Errorf("%s arrived without the receipt that JavaScript answered", p.OrderID)
		}
		return struct{}{}, nil
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- post.Run(ctx, transport.Bus(bus)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("post: %v", err)
		}
		_ = bus.Close()
	})
}
