package coordinatortest_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/coordinatortest"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
)

var (
	reserve = contract.NewCommand[string, int]("stock", "reserve")
	release = contract.UndoOf(reserve, "release")
	charge  = contract.NewCommand[string, string]("bank", "charge")
	order   = saga.MustDefine[string]("order", saga.Compensable("reserve", saga.Do(reserve), saga.Undo(release)), saga.Pivot("charge", saga.Do(charge)))
)

// TestOrder shows a test of two services and a definition together.
func TestOrder(t *testing.T) {
	var reserved atomic.Int64
	stock := participant.New("stock", &participant.MemoryInbox{})
	participant.Handle(stock, reserve, func(context.Context, *participant.MemoryTx, string) (int, error) {
		return int(reserved.Add(1)), nil
	})
	participant.HandleUndo(stock, release, func(context.Context, *participant.MemoryTx, contract.Undo[string, int]) error {
		reserved.Add(-1)
		return nil
	})
	bank := participant.New("bank", &participant.MemoryInbox{})
	participant.Handle(bank, charge, func(_ context.Context, _ *participant.MemoryTx, sku string) (string, error) {
		if sku == "gold" {
			return "", participant.Reject("the card is declined")
		}
		return "paid", nil
	})
	bus := coordinatortest.Start(t, order)
	coordinatortest.Run(t, bus, stock, bank)

	for sku, want := range map[string]contract.Phase{"tea": contract.PhaseCompleted, "gold": contract.PhaseCompensated} {
		s, err := client.New(bus).Run(t.Context(), order, sku)
		if err != nil || s.Phase != want {
			t.Errorf("%s: %+v, %v; want it %s", sku, s, err, want)
		}
	}
	if n := reserved.Load(); n != 1 {
		t.Errorf("%d reservations, want the one for tea", n)
	}
}

// recorder is a testing.TB whose failures end the goroutine and can be read.
type recorder struct {
	testing.TB

	fatal string
}

func (r *recorder) Fatal(args ...any) {
	r.fatal = fmt.Sprint(args...)
	runtime.Goexit()
}

// TestRunRefuses checks that a participant that cannot run fails the test at once, with a reason.
func TestRunRefuses(t *testing.T) {
	bus := coordinatortest.Start(t, order)
	r, ended := &recorder{TB: t}, make(chan struct{})
	go func() {
		defer close(ended)
		coordinatortest.Run(r, bus, participant.New("Stock!", &participant.MemoryInbox{}))
	}()
	<-ended
	if !strings.Contains(r.fatal, "Stock!") {
		t.Errorf("the test fails with %q", r.fatal)
	}
}
