package coordinator_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store/memstore"
)

// Several due timers fire one after the other. Each is an event that names its timer, and sees the
// effects of the earlier ones; all are committed together.
func TestTimersFireOneByOne(t *testing.T) {
	s := memstore.New()
	e := newEngine(t, s)
	twins := saga.MustDefine[order]("twins", saga.Deadline(5*time.Second), saga.Timeout(5*time.Second), saga.Parallel(
		saga.Compensable("left", saga.Do(reserve), saga.Undo(release)),
		saga.Compensable("right", saga.Do(reserve), saga.Undo(release))))
	if err := e.Register(t.Context(), twins); err != nil {
		t.Fatal(err)
	}
	input := start("a")
	input.Definition = twins.Ref()
	step(t, e, input)

	wake := coordinator.Input{Saga: "a", Event: machine.Event{Type: contract.EventTimerFired, At: noon.Add(5 * time.Second)}}
	out := step(t, e, wake)
	r := out.Results[0]
	var fired []string
	for _, f := range r.Applied {
		fired = append(fired, fmt.Sprintf("%s %s %s %d: revision %d, %s to %s", f.Event.Timer, f.Event.Direction, f.Event.Step, f.Event.Attempt, f.Instance.Revision, f.Before, f.Instance.Phase))
	}
	want := []string{
		"deadline   0: revision 2, running to compensating",
		"timeout do left 1: revision 3, compensating to compensating",
		"timeout do right 1: revision 4, compensating to compensating",
	}
	if diff := cmp.Diff(want, fired); diff != "" {
		t.Errorf("fired (-want +got):\n%s", diff)
	}
	if r.Err != nil || r.Instance.Revision != 4 || r.Instance.Phase != contract.PhaseCompensating || len(out.Committed) != 1 {
		t.Errorf("in all: %+v, %d moved", r, len(out.Committed))
	}
	events, err := s.History(t.Context(), "a", 1, 10)
	if err != nil || len(events) != 4 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if r := step(t, e, wake).Results[0]; r.Ignored != machine.IgnoredNothing || len(r.Applied) != 0 {
		t.Errorf("once more: %+v", r)
	}
}
