package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// neighbours is a coordinator on the test's NATS server, with two participants: well is running,
// and away was never started.
type neighbours struct {
	t       *testing.T
	running running
	js      jetstream.JetStream
	client  *client.Client
}

// single returns a definition with one compensable step of one participant.
func single(t *testing.T, who, timeout string, attempts int) *saga.Definition {
	t.Helper()
	d, err := saga.ParseJSON(fmt.Appendf(nil, `{"name":%q,"version":1,"steps":[{"step":{"name":"serve","kind":"compensable",
		"do":{"participant":%[1]q,"action":"serve","timeout":%[2]q,"retry":{"attempts":%[3]d,"initialInterval":"1s","maxInterval":"1s"}},
		"undo":{"participant":%[1]q,"action":"withdraw"}}}]}`, who, timeout, attempts))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func withNeighbours(t *testing.T, change func(*server.Config)) *neighbours {
	t.Helper()
	nats, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nats.Shutdown)
	config := server.Config{
		DataDir: t.TempDir(), HTTP: "127.0.0.1:0", NATS: server.NATS{URL: nats.ClientURL()},
		Definitions: []*saga.Definition{single(t, "well", "1m", 3), single(t, "away", "1m", 3)},
	}
	if change != nil {
		change(&config)
	}
	n := &neighbours{t: t, running: start(t, config)}
	nc, err := natstest.Connect(nats.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if n.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	n.serve("well")
	bus, err := n.running.Connect(t.Context(), "caller")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	n.client = client.New(bus)
	return n
}

// serve starts a participant that completes every command.
func (n *neighbours) serve(who string) {
	n.t.Helper()
	serve := contract.NewCommand[json.RawMessage, struct{}](who, "serve")
	p := participant.New(who, new(participant.MemoryInbox), participant.Logger(slog.New(slog.DiscardHandler)))
	participant.Handle(p, serve, func(context.Context, *participant.MemoryTx, json.RawMessage) (struct{}, error) {
		return struct{}{}, nil
	})
	participant.HandleUndo(p, contract.UndoOf(serve, "withdraw"),
		func(context.Context, *participant.MemoryTx, contract.Undo[json.RawMessage, struct{}]) error {
			return nil
		})
	bus, err := n.running.Connect(n.t.Context(), who)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, bus) }()
	n.t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, bus.Close()); err != nil {
			n.t.Error(err)
		}
	})
}

// edit changes a stream as an administrator would.
func (n *neighbours) edit(s transport.Stream, change func(*jetstream.StreamConfig)) {
	n.t.Helper()
	stream, err := n.js.Stream(n.t.Context(), map[transport.Stream]string{transport.StreamCommands: "SAGA_COMMANDS", transport.StreamLifecycle: "SAGA_LIFECYCLE"}[s])
	if err != nil {
		n.t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	change(&config)
	if _, err := n.js.UpdateStream(n.t.Context(), config); err != nil {
		n.t.Fatal(err)
	}
}

// start starts sagas of a definition.
func (n *neighbours) start(name string, sagas, bytes int) (ids []string) {
	n.t.Helper()
	input := map[string]string{"text": strings.Repeat("x", bytes)}
	for i := range sagas {
		id := fmt.Sprintf("%s-%d", name, i)
		ctx, cancel := context.WithTimeout(n.t.Context(), limit)
		_, err := n.client.Start(ctx, contract.DefinitionRef{Name: name}, input, client.ID(contract.SagaID(id)))
		cancel()
		if err != nil {
			n.t.Fatalf("start %s: %v", id, err)
		}
		ids = append(ids, id)
	}
	return ids
}

// runs runs sagas of the definition well one after the other. Each must complete at the first
// attempt.
func (n *neighbours) runs(sagas int) {
	n.t.Helper()
	for i := range sagas {
		id := contract.SagaID(fmt.Sprintf("well-%d", i))
		ctx, cancel := context.WithTimeout(n.t.Context(), limit)
		status, err := n.client.Run(ctx, contract.DefinitionRef{Name: "well"}, map[string]int{"n": i}, client.ID(id))
		cancel()
		if err != nil || status.Phase != contract.PhaseCompleted {
			n.t.Fatalf("saga %s: %v, %+v", id, err, status)
		}
		if attempt := status.Steps[0].Attempt; attempt != 1 {
			n.t.Errorf("saga %s needed %d attempts", id, attempt)
		}
	}
}

// ends waits until all given sagas have ended.
func (n *neighbours) ends(ids []string, phase contract.Phase) {
	n.t.Helper()
	for _, id := range ids {
		ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
		status, err := n.client.Wait(ctx, contract.SagaID(id))
		cancel()
		if err != nil || status.Phase != phase {
			n.t.Fatalf("saga %s: %v, %+v, want %s", id, err, status, phase)
		}
	}
}

// TestFullLifecycleStopsNobody checks that a full lifecycle stream blocks no saga, because no saga
// needs it (I13).
func TestFullLifecycleStopsNobody(t *testing.T) {
	n := withNeighbours(t, nil)
	n.edit(transport.StreamLifecycle, func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardNew, 1 })
	n.runs(50)
}

// TestSubjectLimitStopsOnlyWhoMeetsIt sets a limit per subject that an absent participant reaches.
// It blocks no other participant (I13). Once the limit is lifted and the participant is running,
// its sagas end too (I2).
func TestSubjectLimitStopsOnlyWhoMeetsIt(t *testing.T) {
	n := withNeighbours(t, nil)
	n.edit(transport.StreamCommands, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 2, true })
	ids := n.start("away", 20, 10)
	n.runs(50)
	n.edit(transport.StreamCommands, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = -1, false })
	n.serve("away")
	n.ends(ids, contract.PhaseCompleted)
}

// TestAbsentParticipantLeavesRoom checks that commands for an absent participant cannot fill the
// stream that all participants share (I13). Once it is back, all its sagas end (I2).
func TestAbsentParticipantLeavesRoom(t *testing.T) {
	t.Parallel()
	n := withNeighbours(t, func(c *server.Config) { c.NATS.QueueBytes = 8 << 20 })
	ids := n.start("away", 60, 250_000) // nearly twice the capacity of the stream
	n.runs(50)
	stream, err := n.js.Stream(t.Context(), "SAGA_COMMANDS")
	if err != nil {
		t.Fatal(err)
	}
	if state := stream.CachedInfo().State; state.Bytes > 5<<20 || state.Msgs < 2 {
		t.Errorf("%d messages of %d bytes lie there, want about half of 8 MiB", state.Msgs, state.Bytes)
	}
	n.serve("away")
	n.ends(ids, contract.PhaseCompleted)
}

// TestShareOfOpenSagas checks that too many sagas that wait for an absent participant block only
// starts of sagas that need this participant (I13).
func TestShareOfOpenSagas(t *testing.T) {
	n := withNeighbours(t, func(c *server.Config) { c.MaxOpen = 20 })
	n.start("away", 10, 10)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	nc, err := natstest.Connect(n.running.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	request := nats.NewMsg("saga.api.start")
	request.Header.Set(transport.AttrDefinition, "away")
	reply, err := nc.RequestMsgWithContext(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if code, reason := reply.Header.Get(transport.AttrCode), reply.Header.Get(transport.AttrReason); code != string(api.CodeResourceExhausted) || !strings.Contains(reason, "away") {
		t.Errorf("the 11th of at most 20: %q, %q", code, reason)
	}
	n.runs(20)
}

// TestNeverTaken checks that a command that the bus will never accept counts as a step that did not
// happen. The saga compensates at once with the reason. It undoes no step that was not done, and
// leaves nothing in the outbox (I9).
func TestNeverTaken(t *testing.T) {
	var log notes
	n := withNeighbours(t, func(c *server.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	n.edit(transport.StreamCommands, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 20_000 })
	ids := n.start("well", 1, 30_000)
	n.ends(ids, contract.PhaseCompensated)
	status, err := n.client.Get(t.Context(), contract.SagaID(ids[0]))
	if err != nil {
		t.Fatal(err)
	}
	if reason := status.Reason; !strings.Contains(reason, "not sent") || !strings.Contains(reason, "too large") {
		t.Errorf("it says %q", reason)
	}
	if step := status.Steps[0]; step.Status != contract.StepPending {
		t.Errorf("the step is %s, and it was never asked for", step.Status)
	}
	if !strings.Contains(log.all(), "the bus refused a command for good") {
		t.Error("the log does not say so")
	}
}
