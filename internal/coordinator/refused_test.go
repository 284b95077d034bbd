package coordinator_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport/membus"
)

// An answer that cannot be processed now, because another coordinator keeps changing its saga, is
// not dead-lettered: it is redelivered (I2).
func TestAnswersThatConflictComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		seen := &letters{}
		w.restart(coordinator.Config{Observer: seen})
		var conflicts atomic.Int64
		w.store.Hooks.Before = func(changes []store.Change) ([]error, error) {
			errs := make([]error, len(changes))
			for i := range changes {
				answered := slices.ContainsFunc(changes[i].Events, func(ev machine.Event) bool { return ev.Type == contract.EventStepAnswered })
				if answered && conflicts.Add(1) <= 40 {
					errs[i] = store.ErrConflict
				}
			}
			return errs, nil
		}
		w.expect(w.run("s1"), contract.PhaseCompleted, "s1 reserve", "s1 charge", "s1 ship")
		if conflicts.Load() <= 40 {
			t.Errorf("%d conflicts only: the test shows nothing", conflicts.Load())
		}
		if classes := seen.seen(); len(classes) != 0 {
			t.Errorf("dead letters: %q", classes)
		}
	})
}

// unreadable is a store that can no longer be read.
type unreadable struct {
	store.Store
	err error
}

func (s unreadable) Load(context.Context, contract.SagaID) (*machine.Instance, error) {
	return nil, s.err
}

// A store that fails on a read ends a Step like one that fails on a write: nothing of the batch is
// revealed, and the bus redelivers it (I1, I2). A damaged record affects only its own saga (I9).
func TestStoreThatCannotBeReadEndsTheStep(t *testing.T) {
	for _, tt := range []struct {
		err error
		end bool
	}{
		{store.ErrBroken, true},
		{store.ErrClosed, true},
		{errors.New("input/output error"), true},
		{&store.CorruptError{What: "record", Why: "its checksum is wrong"}, false},
	} {
		e := newEngine(t, unreadable{memstore.New(), tt.err})
		out, err := e.Step(t.Context(), []coordinator.Input{completed("s1", "stock", "reserve")})
		if ended := errors.Is(err, tt.err); ended != tt.end {
			t.Errorf("%v: %v, %+v", tt.err, err, out.Results)
		}
	}
}

// After an operator's retry, the refusal of an earlier command may arrive again. It does not apply
// to the command that is awaited now, although both have attempt 1.
func TestRefusalOfAnEarlierCommand(t *testing.T) {
	mail := saga.MustDefine[order]("mail", saga.Timeout(5*time.Second), saga.Retriable("send", saga.Do(ship)))
	s := memstore.New()
	e := newEngine(t, s)
	if err := e.Register(t.Context(), mail); err != nil {
		t.Fatal(err)
	}
	begin := start("a")
	begin.Definition.Name = "mail"
	first := step(t, e, begin).Enqueued[0]
	refusal := coordinator.ReadRefusal(&first, false, errors.New("too large"), noon)
	if r := step(t, e, refusal).Results[0]; r.Err != nil || r.Instance.Steps[0].Do.State() != machine.SideParkedUnasked {
		t.Fatalf("%+v", r)
	}
	retry := coordinator.Input{Saga: "a", Event: machine.Event{Type: contract.EventOperationTaken, At: noon, Operation: contract.OperationRetry, By: "kim", Reason: "raised the limit"}}
	out := step(t, e, retry)
	if out.Results[0].Err != nil || len(out.Enqueued) == 0 || out.Enqueued[0].Envelope.Attempt != first.Envelope.Attempt {
		t.Fatalf("the test shows nothing: %+v", out)
	}
	if r := step(t, e, refusal).Results[0]; r.Ignored != machine.IgnoredStale || r.Instance.Steps[0].Do.State() != machine.SideAwaitingAnswer {
		t.Errorf("the refusal of the first command parks the second: %+v", r)
	}
	again := coordinator.ReadRefusal(&out.Enqueued[0], false, errors.New("too large"), noon)
	if r := step(t, e, again).Results[0]; r.Err != nil || r.Instance.Steps[0].Do.State() != machine.SideParkedUnasked {
		t.Errorf("its own refusal does not: %+v", r)
	}
}
