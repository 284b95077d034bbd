package machine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

type retimedOrder struct{}

var (
	retimedDo   = contract.NewCommand[retimedOrder, struct{}]("inventory", "reserve")
	retimedUndo = contract.UndoOf(retimedDo, "release")
)

// TestRetimed checks that times which measure a duration from when they were set move with the
// clock, and that times of past events do not. Repeating the same event and retiming an ended saga
// must change nothing (I6).
func TestRetimed(t *testing.T) {
	def := saga.MustDefine[retimedOrder]("checkout", saga.Deadline(time.Hour), saga.Timeout(10*time.Second),
		saga.Compensable("reserve", saga.Do(retimedDo), saga.Undo(retimedUndo)))
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, by := range []time.Duration{-time.Hour, time.Hour} {
		in, _, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: noon, ID: "s1", Payload: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		retimed := machine.Event{Type: contract.EventClockAdjusted, At: noon.Add(by + time.Second), ClockOffset: by}
		out, eff, err := machine.Decide(def.Plan(), in, retimed)
		if err != nil || eff.Ignored != "" || len(eff.Commands)+len(eff.Announcements)+len(eff.Discarded) > 0 {
			t.Fatalf("by %s: %+v, %v", by, eff, err)
		}
		if !out.Steps[0].Do.Due().Equal(noon.Add(by+10*time.Second)) || !out.Deadline.Equal(noon.Add(by+time.Hour)) || !out.Started.Equal(noon) || !out.Updated.Equal(retimed.At) {
			t.Errorf("by %s: due %s, deadline %s, started %s, updated %s", by, out.Steps[0].Do.Due(), out.Deadline, out.Started, out.Updated)
		}
		if _, eff, err := machine.Decide(def.Plan(), out, retimed); err != nil || eff.Ignored != machine.IgnoredNothing {
			t.Errorf("by %s, again: %+v, %v", by, eff, err)
		}
		rejected := machine.Event{Type: contract.EventStepAnswered, At: retimed.At, Participant: "inventory", Step: "reserve", Direction: contract.DirectionDo, Attempt: 1, Outcome: contract.OutcomeRejected}
		ended, eff, err := machine.Decide(def.Plan(), out, rejected)
		if err != nil || eff.Ignored != "" || ended.Open() {
			t.Fatalf("by %s: it goes on: %+v %+v, %v", by, ended, eff, err)
		}
		if _, eff, err := machine.Decide(def.Plan(), ended, machine.Event{Type: contract.EventClockAdjusted, At: noon, ClockOffset: 2 * by}); err != nil || eff.Ignored != machine.IgnoredEnded {
			t.Errorf("by %s, at the end: %+v, %v", by, eff, err)
		}
		if _, _, err := machine.Decide(def.Plan(), machine.Instance{}, retimed); !errors.Is(err, machine.ErrMissing) {
			t.Errorf("without a saga: %v", err)
		}
	}
}

// TestTimersFireForTheirMoment checks that a timer fires as of its own due time, and not as of a
// later event that was applied before it, because answers from between the two may still be queued.
func TestTimersFireForTheirMoment(t *testing.T) {
	def := saga.MustDefine[retimedOrder]("checkout", saga.Timeout(10*time.Second), saga.Parallel(
		saga.Compensable("reserve", saga.Do(retimedDo), saga.Undo(retimedUndo)),
		saga.Compensable("charge", saga.Do(retimedDo, saga.Timeout(20*time.Second)), saga.Undo(retimedUndo))))
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	in, _, err := machine.Decide(def.Plan(), machine.Instance{}, machine.Event{Type: contract.EventStarted, At: noon, ID: "s1", Payload: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	in.Updated = noon.Add(time.Minute) // by a different answer
	early := machine.Event{Type: contract.EventTimerFired, At: noon.Add(9 * time.Second), Timer: contract.TimerTimeout, Step: "reserve", Direction: contract.DirectionDo, Attempt: 1}
	if _, eff, _ := machine.Decide(def.Plan(), in, early); eff.Ignored != machine.IgnoredNothing {
		t.Errorf("nothing is due after 9 s: %+v", eff)
	}
	late := early
	late.At = noon.Add(15 * time.Second)
	due, ok := machine.DueTimer(def.Plan(), &in, late.At)
	if !ok || !cmp.Equal(due, late) {
		t.Errorf("due after 15 s: %+v, want %+v", due, late)
	}
	out, _, err := machine.Decide(def.Plan(), in, late)
	if next, ok := machine.DueTimer(def.Plan(), &out, late.At); ok {
		t.Errorf("also due after 15 s: %+v", next)
	}
	if err != nil || !out.Steps[0].Do.Waiting() || out.Steps[1].Do.Waiting() {
		t.Errorf("after 15 s the first has timed out and the second has not: %+v, %v", out.Steps, err)
	}
}
