package natsbus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

func claimOf(store, incarnation string, number uint64) *ownership.Claim {
	return &ownership.Claim{Prefix: "saga", Store: store, Incarnation: incarnation, Number: number}
}

// A claim changes only by compare-and-set. Its former owner can neither confirm it nor send
// commands, because the server refuses the former owner's commands.
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
	if _, err := b.Write(within(t), claimOf("b", "two", 2), ownership.Position{}); !errors.Is(err, ownership.ErrChanged) {
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
	if err != nil || load.Streams[transport.StreamCommands].Messages != 1 || len(load.Commands) != 1 {
		t.Errorf("the claim counts as a command: %+v, %v", load, err)
	}

	taken, err := b.Write(within(t), claimOf("b", "two", 2), before.At)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Confirm(within(t), at); !errors.Is(err, ownership.ErrChanged) {
		t.Errorf("the old owner confirms: %v", err)
	}
	refused := func(what string) {
		t.Helper()
		errs := one.Publish(within(t), []transport.Envelope{command("b"), command("c"), {Subject: "saga.lifecycle.checkout.completed", Type: transport.TypeLifecycle, ID: "d"}})
		if len(errs) != 3 || !errors.Is(errs[0], transport.ErrFenced) || !errors.Is(errs[1], transport.ErrFenced) || !errors.Is(errs[0], transport.ErrRefused) || errs[2] != nil {
			t.Errorf("%s: %v; want that its commands are refused", what, errs)
		}
		select {
		case <-a.ConfirmNow():
		default:
			t.Errorf("%s: nothing says that the claim should be looked at", what)
		}
	}
	refused("the old owner")
	insist(t, two, command("e"))

	// The sequences of the recreated stream of commands start at one and repeat earlier ones. The
	// fence of the old owner is not accepted again.
	js := jetStream(t, one)
	if err := js.DeleteStream(within(t), "SAGA_COMMANDS"); err != nil {
		t.Fatal(err)
	}
	awaitReset(t, one)
	refused("the old owner, on a new stream")
	if errs := two.Publish(within(t), []transport.Envelope{command("f")}); len(errs) != 1 || !errors.Is(errs[0], transport.ErrFenced) {
		t.Errorf("the owner, before it has raised its fence again: %v", errs)
	}
	if err := b.Confirm(within(t), taken); err != nil || !b.Fences() {
		t.Fatalf("the owner confirms: %v, fences: %t", err, b.Fences())
	}
	insist(t, two, command("f"))
	refused("the old owner, beside the new one")

	// Both streams are lost.
	for _, stream := range []string{"SAGA_OWNER", "SAGA_COMMANDS"} {
		if err := js.DeleteStream(within(t), stream); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Confirm(within(t), taken); !errors.Is(err, ownership.ErrChanged) {
		t.Errorf("the owner confirms what the bus has lost: %v", err)
	}
	if entry, err := b.Read(within(t)); err != nil || entry != (ownership.Entry{}) {
		t.Fatalf("an empty bus holds %+v, %v", entry, err)
	}
	if taken, err = b.Write(within(t), claimOf("b", "two", 2), ownership.Position{}); err != nil {
		t.Fatal(err)
	}
	awaitReset(t, two)
	for !b.Fences() { // until the stream of commands is recreated
		if err := b.Confirm(within(t), taken); err != nil {
			t.Fatal(err)
		}
	}
	insist(t, two, command("g"))
	refused("the old owner, on a new bus")
}

// A full stream of commands does not prevent a claim.
func TestClaimOnAFullBus(t *testing.T) {
	server := start(t, embedded.Config{})
	bus := connect(t, server, func(c *natsbus.Config) { c.QueueBytes = 4096 })
	js := jetStream(t, bus)
	for full := false; !full; {
		_, err := js.Publish(within(t), "saga.command.x.y", nil, jetstream.WithRetryAttempts(0))
		full = err != nil
	}
	claims := bus.Claims()
	at, err := claims.Write(within(t), claimOf("a", "one", 1), ownership.Position{})
	if err != nil {
		t.Fatal(err)
	}
	if claims.Fences() {
		t.Error("it fences without a fence")
	}
	// A command is not sent if the server could not refuse it after a takeover.
	event := transport.Envelope{Subject: "saga.lifecycle.checkout.completed", Type: transport.TypeLifecycle, ID: "e"}
	if errs := bus.Publish(within(t), []transport.Envelope{command("a"), event}); len(errs) != 2 || !errors.Is(errs[0], transport.ErrFenced) || errs[1] != nil {
		t.Errorf("without a fence: %v", errs)
	}
	if err := claims.Confirm(within(t), at); err != nil {
		t.Error(err)
	}
	stream, err := js.Stream(within(t), "SAGA_COMMANDS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := claims.Confirm(within(t), at); err != nil || !claims.Fences() {
		t.Errorf("with room again: %v, fences: %t", err, claims.Fences())
	}
	insist(t, bus, command("a"))
}

// An owner does not raise its fence if it is replaced while doing so.
func TestLatch(t *testing.T) {
	server := start(t, embedded.Config{})
	one, two := connect(t, server, nil), connect(t, server, nil)
	if _, err := one.Claims().Write(within(t), claimOf("a", "one", 1), ownership.Position{}); err != nil {
		t.Fatal(err)
	}
	latch := one.Latch(within(t))
	entry, err := two.Claims().Read(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.Claims().Write(within(t), claimOf("b", "two", 2), entry.At); err != nil {
		t.Fatal(err)
	}
	one.Raise(within(t), latch)
	if one.Claims().Fences() {
		t.Error("it has raised its fence after it was replaced")
	}
	insist(t, two, command("a"))
}

// Only the owner has a consumer of the answers. The consumer is not recreated for a former owner.
func TestAnswersGoToTheOwner(t *testing.T) {
	server := start(t, embedded.Config{})
	one, two := connect(t, server, nil), connect(t, server, nil)
	mine := func(name string, claim func(context.Context) error) transport.Subscription {
		return transport.Subscription{Stream: transport.StreamEvents, Name: name, Claim: claim}
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
	await(t, source1, "order-1/7/reserve/do/1")

	if _, err := two.Subscribe(within(t), mine("coordinator-b", func(context.Context) error { return replaced })); !errors.Is(err, replaced) {
		t.Errorf("whoever is not the owner subscribes: %v", err)
	}
	lost.Store(true)
	source2 := subscribe(t, two, mine("coordinator-b", func(context.Context) error { return nil }))
	insist(t, one, transport.Envelope{Subject: answer, Type: transport.TypeRejected})
	await(t, source2, "order-1/7/reserve/do/1")
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

// TestStreamOfClaimsDrifts: an administrator may edit the stream of claims. Settings that could
// lose the claim are reported by name, and no claim is written as long as they remain.
func TestStreamOfClaimsDrifts(t *testing.T) {
	server := start(t, embedded.Config{})
	bus, other := connect(t, server, nil), connect(t, server, nil)
	at, err := bus.Claims().Write(within(t), claimOf("a", "one", 1), ownership.Position{})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(bus.Conn())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "SAGA_OWNER")
	if err != nil {
		t.Fatal(err)
	}
	right := stream.CachedInfo().Config
	for field, edit := range map[string]func(*jetstream.StreamConfig){
		"max_age":              func(c *jetstream.StreamConfig) { c.MaxAge, c.Duplicates = time.Hour, time.Minute },
		"max_msgs":             func(c *jetstream.StreamConfig) { c.MaxMsgs = 100 },
		"max_msgs_per_subject": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 },
		"max_bytes":            func(c *jetstream.StreamConfig) { c.MaxBytes = 100_000 },
		"max_msg_size":         func(c *jetstream.StreamConfig) { c.MaxMsgSize = 100 },
		"discard":              func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew },
		"no_ack":               func(c *jetstream.StreamConfig) { c.NoAck = true },
	} {
		wrong := right
		edit(&wrong)
		if _, err := js.UpdateStream(t.Context(), wrong); err != nil {
			t.Fatal(err)
		}
		_, read := other.Claims().Read(within(t))
		for what, err := range map[string]error{"Check": bus.Check(within(t)), "Read": read} {
			var drift *natsbus.DriftError
			if !errors.As(err, &drift) || drift.Field != field || drift.Stream != "SAGA_OWNER" || !strings.Contains(drift.Fix, "nats stream edit SAGA_OWNER --") {
				t.Errorf("%s: %s says %v", field, what, err)
			}
		}
		if _, err := other.Claims().Write(within(t), claimOf("b", "two", 2), ownership.Position{}); err == nil {
			t.Errorf("%s: another store claims the prefix", field)
		}
	}
	if _, err := js.UpdateStream(t.Context(), right); err != nil {
		t.Fatal(err)
	}
	if err := bus.Check(within(t)); err != nil {
		t.Errorf("it is right again: %v", err)
	}
	if err := bus.Claims().Confirm(within(t), at); err != nil {
		t.Errorf("the claim is confirmed: %v", err)
	}
}
