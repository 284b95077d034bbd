package httpapi_test

import (
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/participant"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// TestOverviewAndParticipants checks that the counts match the sagas that were run.
func TestOverviewAndParticipants(t *testing.T) {
	w, began := newFixture(t), time.Now()
	for _, id := range []string{"a", "b", "c"} {
		w.start(t, id)
	}
	w.when(func(action string) error {
		if action == "ship" {
			return participant.Reject("closed")
		}
		return nil
	})
	w.start(t, "d")
	w.park(t, "e")
	w.when(func(string) error { return nil })
	ctx := within(t)
	if _, err := w.RegisterDefinition(ctx, connect.NewRequest(&apiv1.RegisterDefinitionRequest{Source: "name: tea\nversion: 1\nsteps:\n  - step: {name: brew, kind: retriable, do: {participant: pot, action: brew}}\n"})); err != nil {
		t.Fatal(err)
	}
	r, err := w.GetOverview(ctx, connect.NewRequest(&apiv1.GetOverviewRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	o := r.Msg.Overview
	started, failed, transitions := int64(0), int64(0), int64(0)
	for _, s := range o.Series {
		started, failed, transitions = started+s.Started, failed+s.Failed, transitions+s.Transitions
	}
	if !o.Ready || o.NotReady != "" || o.Open != 1 || o.Parked != 1 || o.DeadLetters != 0 || len(o.Counts) != 3 || o.Version == "" {
		t.Errorf("the overview is %v", o)
	}
	if len(o.Series) != 120 || started != 5 || failed != 1 || transitions < 16 {
		t.Errorf("in %d seconds %d started, %d answers failed, %d transitions", len(o.Series), started, failed, transitions)
	}
	if o.CompensatedShare != 0.25 || o.FailedShare < 0.09 || o.FailedShare > 0.1 || o.CacheHitRatio < 0.5 {
		t.Errorf("shares: %v compensated, %v failed, %v from the cache", o.CompensatedShare, o.FailedShare, o.CacheHitRatio)
	}
	if len(o.Durations) != 1 || o.Durations[0].Duration.Count != 4 || o.Durations[0].Duration.P99Seconds < o.Durations[0].Duration.P50Seconds || o.Commit.GetCount() == 0 {
		t.Errorf("durations %v, commits %v", o.Durations, o.Commit)
	}

	p, err := w.ListParticipants(ctx, connect.NewRequest(&apiv1.ListParticipantsRequest{}))
	if err != nil || len(p.Msg.Participants) != 3 {
		t.Fatalf("participants: %v, %v", p, err)
	}
	courier, oven, pot := p.Msg.Participants[0], p.Msg.Participants[1], p.Msg.Participants[2]
	if courier.Name != "courier" || courier.Answers != 5 || courier.Unknown || courier.LastAnswer.AsTime().Before(began) {
		t.Errorf("the courier is %v", courier)
	}
	if oven.Name != "oven" || len(oven.Actions) != 2 || oven.Actions[0] != "bake" || oven.Answers != 6 || oven.Latency.GetCount() == 0 {
		t.Errorf("the oven is %v", oven)
	}
	if pot.Name != "pot" || !pot.Unknown || pot.Listening || pot.Answers != 0 || pot.LastAnswer != nil {
		t.Errorf("nobody is the pot, and it is %v", pot)
	}

	d, err := w.GetDefinition(ctx, connect.NewRequest(&apiv1.GetDefinitionRequest{Definition: &apiv1.DefinitionRef{Name: "bakery"}}))
	if err != nil || len(d.Msg.Definition.Steps) != 2 || d.Msg.Definition.Duration.GetCount() != 4 {
		t.Fatalf("the definition is %v, %v", d, err)
	}
	bake, ship := d.Msg.Definition.Steps[0], d.Msg.Definition.Steps[1]
	if bake.Step != "bake" || bake.Completed != 6 || bake.Undo.GetCount() != 1 || bake.Do.GetCount() != 5 {
		t.Errorf("bake is %v", bake)
	}
	if ship.Completed != 3 || ship.Rejected != 1 || ship.Failed != 1 || ship.Undo != nil {
		t.Errorf("ship is %v", ship)
	}
}

// TestAParticipantThatLags checks that commands waiting for a silent participant are shown.
func TestAParticipantThatLags(t *testing.T) {
	w := newFixture(t)
	release := make(chan struct{})
	w.when(func(action string) error {
		if action == "bake" {
			<-release
		}
		return nil
	})
	for _, id := range []string{"a", "b", "c"} {
		if _, err := w.Start(within(t), order(id)); err != nil {
			t.Fatal(err)
		}
	}
	for {
		p, err := w.ListParticipants(within(t), connect.NewRequest(&apiv1.ListParticipantsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if oven := p.Msg.Participants[1]; oven.Waiting+oven.InFlight == 3 && oven.Answers == 0 {
			break
		}
	}
	close(release)
	for _, id := range []string{"a", "b", "c"} {
		if s := w.wait(t, id); s.Phase != "completed" {
			t.Errorf("%s is %s", id, s.Phase)
		}
	}
}
