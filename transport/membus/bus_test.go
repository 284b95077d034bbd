package membus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
	"github.com/amends-dev/amends/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	transporttest.Run(t, transporttest.Factory{
		New: func(t *testing.T) transport.Bus {
			bus := membus.New(membus.Options{})
			t.Cleanup(bus.Close)
			return bus
		},
		Lose:  func(t *testing.T, bus transport.Bus) { bus.(*membus.Bus).Forget() },
		Close: func(t *testing.T, bus transport.Bus) { bus.(*membus.Bus).Close() },
	})
}

func event(saga string) transport.Envelope {
	key := contract.Key{Saga: contract.SagaID(saga), Birth: 7, Step: "reserve", Direction: contract.DirectionDo}
	return transport.Envelope{Subject: transport.Subjects{}.Event("inventory", key, 1), Type: transport.TypeCompleted, ID: saga}
}

func open(t *testing.T, bus *membus.Bus) *membus.Source {
	t.Helper()
	source, err := bus.Subscribe(t.Context(), transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator", AckWait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return source.(*membus.Source)
}

func ids(batch []transport.Delivery) (list []string) {
	for _, d := range batch {
		list = append(list, d.Envelope().ID)
	}
	return list
}

// Under synctest, AckWait and the delay of Nak take exactly their time, in virtual time.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New(membus.Options{})
		source := open(t, bus)
		began := time.Now()
		bus.Publish(t.Context(), []transport.Envelope{event("a"), event("b")})
		first, err := source.Receive(t.Context(), 10)
		if err != nil || len(first) != 2 {
			t.Fatal(first, err)
		}
		first[1].Nak(20 * time.Second)
		for _, want := range []struct {
			id    string
			after time.Duration
		}{{"b", 20 * time.Second}, {"a", time.Minute}, {"b", 80 * time.Second}} {
			got, err := source.Receive(t.Context(), 10)
			if err != nil || len(got) != 1 {
				t.Fatal(got, err)
			}
			if id, after := got[0].Envelope().ID, time.Since(began); id != want.id || after != want.after {
				t.Errorf("%s came after %s, want %s after %s", id, after, want.id, want.after)
			}
		}
		first[0].Ack() // has no effect after the redelivery
		if bus.Pending(transport.StreamEvents) != 2 {
			t.Errorf("%d pending, want 2: a late answer counts for nothing", bus.Pending(transport.StreamEvents))
		}
		bus.Close()
	})
}

// Each fate has its effect in a program that advances the clock itself.
func TestFates(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	refused := errors.New("no")
	fates := map[string]membus.Fate{
		"dropped":   {Drop: true},
		"twice":     {Duplicate: 1},
		"late":      {Delay: time.Second},
		"ahead":     {Reorder: true},
		"refused":   {Refuse: refused},
		"unharmed":  {},
		"unharmed2": {},
	}
	bus := membus.New(membus.Options{
		Now:   func() time.Time { return now },
		Fault: func(_ transport.Stream, e *transport.Envelope) membus.Fate { return fates[e.ID] },
	})
	source := open(t, bus)
	errs := bus.Publish(t.Context(), []transport.Envelope{
		event("unharmed"), event("dropped"), event("twice"), event("late"), event("refused"), event("unharmed2"), event("ahead"),
	})
	if len(errs) != 7 || !errors.Is(errs[4], refused) || errs[1] != nil {
		t.Errorf("errors %v, want one for the fifth", errs)
	}
	if diff := cmp.Diff([]string{"ahead", "unharmed", "twice", "twice", "unharmed2"}, ids(source.TryReceive(10))); diff != "" {
		t.Errorf("at once (-want +got):\n%s", diff)
	}
	next, ok := bus.NextDue()
	if !ok || !next.Equal(now.Add(time.Second)) {
		t.Errorf("next due %s, %v; want in one second", next, ok)
	}
	now = next
	if diff := cmp.Diff([]string{"late"}, ids(source.TryReceive(10))); diff != "" {
		t.Errorf("later (-want +got):\n%s", diff)
	}
}

// A message can be redelivered even if MaxInFlight messages are in flight and more are waiting.
func TestExpiryAtTheBound(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	bus := membus.New(membus.Options{Now: func() time.Time { return now }})
	opened, err := bus.Subscribe(t.Context(), transport.Subscription{Stream: transport.StreamEvents, Name: "c", AckWait: time.Second, MaxInFlight: 2})
	if err != nil {
		t.Fatal(err)
	}
	source := opened.(*membus.Source)
	bus.Publish(t.Context(), []transport.Envelope{event("a"), event("b"), event("c")})
	source.TryReceive(10)
	now = now.Add(time.Second)
	if diff := cmp.Diff([]string{"a", "b"}, ids(source.TryReceive(10))); diff != "" {
		t.Errorf("after AckWait (-want +got):\n%s", diff)
	}
}

// A full work queue refuses messages instead of removing old ones.
func TestFull(t *testing.T) {
	bus := membus.New(membus.Options{MaxPending: 2})
	errs := bus.Publish(t.Context(), []transport.Envelope{event("a"), event("b"), event("c")})
	if len(errs) != 3 || !errors.Is(errs[2], transport.ErrFull) {
		t.Errorf("errors %v, want ErrFull for the third", errs)
	}
}

// Lifecycle keeps the newest messages.
func TestRetain(t *testing.T) {
	bus := membus.New(membus.Options{Retain: 2})
	for i := range 5 {
		bus.Publish(t.Context(), []transport.Envelope{{
			Subject: transport.Subjects{}.Lifecycle("checkout", string(contract.PhaseCompleted)), Type: transport.TypeLifecycle, ID: fmt.Sprint(i),
		}})
	}
	source, err := bus.Subscribe(t.Context(), transport.Subscription{Stream: transport.StreamLifecycle, Name: "late"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := source.Receive(t.Context(), 10)
	if diff := cmp.Diff([]string{"3", "4"}, ids(got)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// Two subscriptions to one work queue are refused if their filters overlap, because they would take
// each other's messages.
func TestOverlappingSubscriptions(t *testing.T) {
	bus := membus.New(membus.Options{})
	open(t, bus)
	_, err := bus.Subscribe(context.Background(), transport.Subscription{Stream: transport.StreamEvents, Name: "other"})
	if err == nil {
		t.Error("a second name on the same work queue was accepted")
	}
}
