//go:build linux && lab

package powercut

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// journey is the input of a saga of the whole daemon.
type journey struct {
	To   string `json:"to"`
	Full bool   `json:"full"` // the car is refused
}

var (
	bookFlight   = contract.NewCommand[journey, string]("agency", "book-flight")
	cancelFlight = contract.UndoOf(bookFlight, "cancel-flight")
	bookCar      = contract.NewCommand[journey, string]("agency", "book-car")
	cancelCar    = contract.UndoOf(bookCar, "cancel-car")
	pay          = contract.NewCommand[journey, string]("agency", "pay")

	travel = saga.MustDefine[journey]("travel", saga.Timeout(time.Second), saga.Retry(10_000, 50*time.Millisecond, 500*time.Millisecond),
		saga.Compensable("flight", saga.Do(bookFlight), saga.Undo(cancelFlight)),
		saga.Compensable("car", saga.Do(bookCar), saga.Undo(cancelCar)),
		saga.Pivot("pay", saga.Do(pay)))
)

// agency is the participant: it runs on another machine, whose power stays on,
// and counts its effects by idempotency key.
type agency struct {
	mu      sync.Mutex
	effects map[contract.Key]int
}

func (a *agency) run(ctx context.Context, bus transport.Bus) error {
	p := participant.New("agency", &participant.MemoryInbox{}, participant.Logger(slog.New(slog.DiscardHandler)))
	do := func(ctx context.Context, _ *participant.MemoryTx, j journey) (string, error) {
		key := participant.KeyFrom(ctx)
		if j.Full && key.Step == "car" {
			return "", participant.Reject("no car is left")
		}
		a.count(key)
		return j.To, nil
	}
	undo := func(ctx context.Context, _ *participant.MemoryTx, _ contract.Undo[journey, string]) error {
		a.count(participant.KeyFrom(ctx))
		return nil
	}
	participant.Handle(p, bookFlight, do)
	participant.HandleUndo(p, cancelFlight, undo)
	participant.Handle(p, bookCar, do)
	participant.HandleUndo(p, cancelCar, undo)
	participant.Handle(p, pay, do)
	return p.Run(ctx, bus)
}

func (a *agency) count(key contract.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.effects[key]++
}

// audit compares what happened to a saga's steps with how it ended.
func (a *agency) audit(t *testing.T, s *transport.Status, full bool) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	net := func(step contract.StepName) string {
		do := contract.Key{Saga: s.ID, Birth: contract.BirthOf(s.Started), Step: step, Direction: contract.DirectionDo}
		undo := contract.Key{Saga: s.ID, Birth: contract.BirthOf(s.Started), Step: step, Direction: contract.DirectionUndo}
		return fmt.Sprint(a.effects[do], a.effects[undo])
	}
	got := fmt.Sprintf("%s: flight %s, car %s, pay %s", s.Phase, net("flight"), net("car"), net("pay"))
	want := "completed: flight 1 0, car 1 0, pay 1 0"
	if full {
		want = "compensated: flight 1 1, car 0 0, pay 0 0"
	}
	if got != want {
		t.Errorf("saga %s: %s; want %s", s.ID, got, want)
	}
}
