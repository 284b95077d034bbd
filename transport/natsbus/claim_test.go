package natsbus_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

func claimOf(store, incarnation string, number uint64) *ownership.Claim {
	return &ownership.Claim{Prefix: "saga", Store: store, Incarnation: incarnation, Number: number}
}

// A claim is changed by compare-and-set only, and whoever had it before can neither confirm
// it nor send commands: the server refuses them.
func TestClaims(t *testing.T) {
	server := start(t, embedded.Config{})
	one, two := connect(t, server, nil), connect(t, server, nil)
	a, b := one.Claims(), two.Claims()
	if entry, err := a.Read(within(t)); err != nil || entry != (ownership.Entry{}) {
		t.Fatalf("an empty bus holds %+v, %v", entry, err)
	}
	first := claimOf("a", "one", 1)
	at, err := a.Write(within(t), first, ownership.Position{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(within(t), claimOf("b", "two", 2), ownership.Position{}); !errors.Is(err, ownership.ErrMoved) {
		t.Errorf("a second first claim: %v", err)
	}
	before, err := b.Read(within(t))
	if err != nil || before.Claim == nil || *before.Claim != *first || before.At.Sequence != at.Sequence {
		t.Fatalf("the bus holds %+v, %v", before, err)
	}
	for range 3 {
		if err := a.Confirm(within(t), at); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := b.Read(within(t)); err != nil || after.Pulse == before.Pulse {
		t.Errorf("a confirmation cannot be seen: %+v, %v", after, err)
	}
	insist(t, one, command("a"))
	load, err := one.Load(within(t))
	if err != nil || load.Streams[transport.Commands].Messages != 1 || len(load.Commands) != 1 {
		t.Errorf("the claim counts as a command: %+v, %v", load, err)
	}

	taken, err := b.Write(within(t), claimOf("b", "two", 2), before.At)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Confirm(within(t), at); !errors.Is(err, ownership.ErrMoved) {
		t.Errorf("the old owner confirms: %v", err)
	}
	refused := func(what string) {
		t.Helper()
		errs := one.Publish(within(t), []transport.Envelope{command("b"), command("c"), {Subject: "saga.lifecycle.checkout.completed", Type: transport.TypeLifecycle, ID: "d"}})
		if len(errs) != 3 || !errors.Is(errs[0], transport.ErrFenced) || !errors.Is(errs[1], transport.ErrFenced) || !errors.Is(errs[0], transport.ErrRefused) || errs[2] != nil {
			t.Errorf("%s: %v; want that its commands are refused", what, errs)
		}
		select {
		case <-a.Moved():
		default:
			t.Errorf("%s: nothing says that the claim should be looked at", what)
		}
	}
	refused("the old owner")
	insist(t, two, command("e"))

	// The stream is made anew and counts from one again: the old owner's sequence may be there
	// once more, and its token is not.
	js := jetStream(t, one)
	if err := js.DeleteStream(within(t), "SAGA_COMMANDS"); err != nil {
		t.Fatal(err)
	}
	awaitReset(t, one)
	refused("the old owner, on a new stream")
	if err := b.Confirm(within(t), taken); !errors.Is(err, ownership.ErrMoved) {
		t.Errorf("the owner confirms what the bus has lost: %v", err)
	}
	if _, err := b.Write(within(t), claimOf("b", "two", 2), ownership.Position{}); err != nil {
		t.Fatal(err)
	}
	insist(t, two, command("f"))
	refused("the old owner, beside the new one")
}

// The subscription to the answers is the owner's only, and is not made again for whoever is
// not the owner any more.
func TestAnswersGoToTheOwner(t *testing.T) {
	server := start(t, embedded.Config{})
	one, two := connect(t, server, nil), connect(t, server, nil)
	mine := func(name string, claim func(context.Context) error) transport.Subscription {
		return transport.Subscription{Stream: transport.Events, Name: name, Claim: claim}
	}
	replaced := errors.New("replaced")
	var lost atomic.Bool
	source1 := subscribe(t, one, mine("coordinator-a", func(context.Context) error {
		if lost.Load() {
			return replaced
		}
		return nil
	}))
	insist(t, one, transport.Envelope{Subject: answer, Type: transport.TypeCompleted})
	await(t, source1, "order-1/reserve/do/1")

	if _, err := two.Subscribe(within(t), mine("coordinator-b", func(context.Context) error { return replaced })); !errors.Is(err, replaced) {
		t.Errorf("whoever is not the owner subscribes: %v", err)
	}
	lost.Store(true)
	source2 := subscribe(t, two, mine("coordinator-b", func(context.Context) error { return nil }))
	insist(t, one, transport.Envelope{Subject: answer, Type: transport.TypeRejected})
	await(t, source2, "order-1/reserve/do/1")
	_ = one.Look(within(t))
	stream, err := jetStream(t, two).Stream(within(t), "SAGA_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	list := stream.ConsumerNames(within(t))
	for name := range list.Name() {
		names = append(names, name)
	}
	if !slices.Equal(names, []string{"coordinator-b"}) {
		t.Errorf("consumers %q, want the owner's", names)
	}
}
