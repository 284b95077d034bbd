package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
)

var (
	pick   = contract.NewCommand[int, string]("stock", "pick")
	unpick = contract.UndoOf(pick, "unpick")
	pickV2 = contract.NewCommand[int, string]("stock", "pick-v2")
	undoV1 = contract.UndoOf(pickV2, "unpick")
	undoV2 = contract.UndoOf(pickV2, "unpick-v2")
	sendV2 = contract.NewCommand[int, string]("stock", "send-v2")
)

// upgraded returns a definition with two actions that only the newer process of a participant
// knows: a compensable step and a pivot. Both processes know the undo of the compensable step,
// unless undoToo is set.
func upgraded(undoToo bool, settings ...saga.Part) *saga.Definition {
	undo := saga.Undo(undoV1)
	if undoToo {
		undo = saga.Undo(undoV2)
	}
	return saga.MustDefine[int]("upgraded", append(settings,
		saga.Compensable("pick", saga.Do(pick), saga.Undo(unpick)),
		saga.Compensable("pick-v2", saga.Do(pickV2), undo),
		saga.Pivot("send-v2", saga.Do(sendV2)))...)
}

// stock returns a process of the participant; an older one knows only the first step.
func stock(inbox *participant.MemoryInbox, newer bool, effects *atomic.Int64, opts ...participant.Option) *participant.Participant[*participant.MemoryTx] {
	p := participant.New("stock", inbox, opts...)
	do := func(_ context.Context, tx *participant.MemoryTx, n int) (string, error) {
		tx.OnCommit(func() { effects.Add(1) })
		return fmt.Sprint(n), nil
	}
	undo := func(_ context.Context, tx *participant.MemoryTx, _ contract.Undo[int, string]) error {
		tx.OnCommit(func() { effects.Add(-1) })
		return nil
	}
	participant.Handle(p, pick, do)
	participant.HandleUndo(p, unpick, undo)
	if newer {
		participant.Handle(p, pickV2, do)
		participant.HandleUndo(p, undoV2, undo)
		participant.Handle(p, sendV2, do)
	}
	return p
}

// dial opens a new connection to the server's bus.
func dial(t *testing.T, d running, name string) *natsbus.Bus {
	t.Helper()
	bus, err := d.Connect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	return bus
}

// startSagas starts sagas and returns a function that waits until they have ended.
func startSagas(t *testing.T, bus *natsbus.Bus, n int) (wait func() []*api.Saga) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	t.Cleanup(cancel)
	c := client.New(bus)
	id := func(i int) contract.SagaID { return contract.SagaID(fmt.Sprint("order-", i)) }
	for i := range n {
		if _, err := c.Start(ctx, contract.DefinitionRef{Name: "upgraded"}, i, client.ID(id(i))); err != nil {
			t.Fatal(err)
		}
	}
	return func() (ended []*api.Saga) {
		for i := range n {
			s, err := c.Wait(ctx, id(i))
			if err != nil {
				t.Fatal(err)
			}
			ended = append(ended, s)
		}
		return ended
	}
}

// TestRollingDeployment checks a deployment in which one of three processes of a participant does
// not know two new actions yet. All sagas complete, each step has one effect (I5), no saga
// compensates or is parked, and there are no dead letters (I9).
func TestRollingDeployment(t *testing.T) {
	t.Parallel()
	const sagas = 40
	d := start(t, server.Config{DataDir: t.TempDir(), Definitions: []*saga.Definition{upgraded(true, saga.Timeout(time.Hour))}})
	inbox, effects := new(participant.MemoryInbox), new(atomic.Int64)
	enough := make(chan struct{})
	var back atomic.Int64
	counted := participant.OnAnswer(func(r participant.Report) {
		if r.HandedBack && back.Add(1) == sagas/4 {
			close(enough)
		}
	})
	older, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	olderBus := dial(t, d, "older")
	go func() { stopped <- stock(inbox, false, effects, counted).Run(older, olderBus) }()
	for _, name := range []string{"newer", "newest"} {
		run(t, stock(inbox, true, effects), dial(t, d, name))
	}
	bus := dial(t, d, "caller")
	wait := startSagas(t, bus, sagas)
	select {
	case <-enough:
	case <-time.After(limit):
		t.Error("the older process was hardly asked for what it does not know: this has tried little")
	}
	stop()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	for _, s := range wait() {
		if s.Phase != contract.PhaseCompleted {
			t.Errorf("%s is %s: %s", s.ID, s.Phase, s.Reason)
		}
	}
	if got := effects.Load(); got != 3*sagas {
		t.Errorf("%d effects, want %d", got, 3*sagas)
	}
	if letters, err := bus.ListDeadLetters(t.Context(), 0, 10); err != nil || len(letters) != 0 {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
}

// TestNobodyKnowsTheAction checks that sagas compensate if no process knows an action. They do so
// after a limited number of deliveries, with the reason that the operator's guide quotes. If no
// process knows the undo either, they are parked (I3, I10).
func TestNobodyKnowsTheAction(t *testing.T) {
	t.Parallel()
	const sagas, attempts = 10, 2
	for undoToo, want := range map[bool]contract.Phase{false: contract.PhaseCompensated, true: contract.PhaseParked} {
		t.Run(string(want), func(t *testing.T) {
			definition := upgraded(undoToo, saga.Timeout(time.Second), saga.Retry(attempts, 10*time.Millisecond, 10*time.Millisecond))
			d := start(t, server.Config{DataDir: t.TempDir(), Definitions: []*saga.Definition{definition}})
			inbox, effects := new(participant.MemoryInbox), new(atomic.Int64)
			var back atomic.Int64
			counted := participant.OnAnswer(func(r participant.Report) {
				if r.HandedBack {
					back.Add(1)
				}
			})
			for _, name := range []string{"first", "second"} {
				run(t, stock(inbox, false, effects, counted), dial(t, d, name))
			}
			for _, s := range startSagas(t, dial(t, d, "caller"), sagas)() {
				if s.Phase != want || !strings.Contains(s.Reason, "unknown action: stock.") {
					t.Errorf("%s is %s: %q", s.ID, s.Phase, s.Reason)
				}
			}
			if most := int64(sagas * 2 * attempts * participant.MaxUnknownDeliveries); back.Load() == 0 || back.Load() > most {
				t.Errorf("handed back %d times, at most %d", back.Load(), most)
			}
		})
	}
}
