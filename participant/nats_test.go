package participant_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// TestRunOnNATS runs three instances of a participant on a real server. Two of them stop during the
// test. Every command is answered and takes effect once.
func TestRunOnNATS(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: server.ClientURL(), Provision: natsbus.ProvisionCreate})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()

	const commands = 2000
	batch := make([]transport.Envelope, commands)
	for n := range batch {
		key := contract.Key{Saga: contract.SagaID(fmt.Sprint("saga-", n)), Birth: 7, Step: "reserve", Direction: contract.DirectionDo}
		batch[n] = *doCommand()
		batch[n].Saga, batch[n].ReplyTo = key.Saga, transport.Subjects{}.Event("inventory", key, 1)
	}
	if errs := bus.Publish(ctx, batch); errs != nil {
		t.Fatal(errs)
	}
	answers, err := bus.Subscribe(ctx, transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()

	p := participant.New("inventory", new(participant.MemoryInbox), participant.AckWait(2*time.Second))
	effects := make(chan contract.SagaID, 2*commands)
	participant.Handle(p, reserveStock, func(ctx context.Context, tx *participant.MemoryTx, _ reserve) (reserved, error) {
		tx.OnCommit(func() { effects <- participant.KeyFrom(ctx).Saga })
		return reserved{}, nil
	})
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx, bus) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	stops := []func(){run(), run(), run()}
	answered := map[contract.SagaID]bool{}
	for len(answered) < commands {
		batch, err := answers.Receive(ctx, 256)
		if err != nil {
			t.Fatalf("%d of %d commands were answered: %v", len(answered), commands, err)
		}
		for _, d := range batch {
			answered[d.Envelope().Saga] = true
			d.Ack()
		}
		if len(stops) > 1 && len(answered) > commands/4 {
			stops[0]()
			stops[1]()
			stops = stops[2:]
		}
	}
	for _, stop := range stops {
		stop()
	}
	if got := len(effects); got != commands {
		t.Errorf("%d commands took effect %d times", commands, got)
	}
}

// TestUnknownActionInABundle: one command of a bundle has an unknown action. The others are
// answered at once, and take effect once, although the whole bundle is redelivered (I5, I9).
func TestUnknownActionInABundle(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: server.ClientURL(), Provision: natsbus.ProvisionCreate})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	answers, err := bus.Subscribe(ctx, transport.Subscription{Stream: transport.StreamEvents, Name: "coordinator"})
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	var effects, back atomic.Int64
	again := make(chan struct{})
	p := participant.New("inventory", new(participant.MemoryInbox), participant.OnAnswer(func(r participant.Report) {
		if r.HandedBack && back.Add(1) == 2 {
			close(again)
		}
	}))
	participant.Handle(p, reserveStock, func(_ context.Context, tx *participant.MemoryTx, _ reserve) (reserved, error) {
		tx.OnCommit(func() { effects.Add(1) })
		return reserved{}, nil
	})
	own, err := natsbus.Connect(ctx, natsbus.Config{URL: server.ClientURL(), Provision: natsbus.ProvisionCreate})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	defer background(t, p, own)()

	commands := 0
	send := func(more ...transport.Envelope) (bundles int64) {
		before := bus.Stats().Bundles
		for range 10 {
			commands++
			e := *doCommand()
			e.Saga = contract.SagaID(fmt.Sprint("saga-", commands))
			e.ReplyTo = transport.Subjects{}.Event("inventory", contract.Key{Saga: e.Saga, Birth: e.Birth, Step: e.Step, Direction: e.Direction}, 1)
			more = append(more, e)
		}
		if errs := bus.Publish(ctx, more); errs != nil {
			t.Fatal(errs)
		}
		return bus.Stats().Bundles - before
	}
	for send() == 0 { // repeat until the bus knows that bundles are accepted
	}
	if n := send(*command(contract.DirectionDo, 1, "reserve-stock-v2", `{}`)); n != 1 {
		t.Fatalf("the commands were sent in %d bundles, want 1", n)
	}
	answered := map[contract.SagaID]bool{}
	for len(answered) < commands {
		batch, err := answers.Receive(ctx, 256)
		if err != nil {
			t.Fatalf("%d of %d commands were answered: %v", len(answered), commands, err)
		}
		for _, d := range batch {
			if e := d.Envelope(); e.Type != transport.TypeCompleted {
				t.Errorf("answered %s: %s", e.Type, e.Reason)
			}
			answered[d.Envelope().Saga] = true
			d.Ack()
		}
	}
	select {
	case <-again:
	case <-ctx.Done():
		t.Fatal("what was not known never came again")
	}
	if got := effects.Load(); got != int64(commands) {
		t.Errorf("%d commands took effect %d times", commands, got)
	}
}
