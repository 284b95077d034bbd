package otlp_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/observe"
	"github.com/amends-dev/amends/internal/otlp"
	"github.com/amends-dev/amends/observe/tracing"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
)

type order struct {
	Sku string `json:"sku"`
}

var (
	reserve = contract.NewCommand[order, struct{}]("stock", "reserve")
	release = contract.UndoOf(reserve, "release")
	charge  = contract.NewCommand[order, struct{}]("bank", "charge")

	checkout = saga.MustDefine[order]("checkout", saga.Timeout(time.Minute),
		saga.Compensable("reserve", saga.Do(reserve), saga.Undo(release)),
		saga.Pivot("charge", saga.Do(charge, saga.Retry(3, 200*time.Millisecond, time.Second))))
)

// shop is a coordinator and two services that send their spans to one collector.
type shop struct {
	*receiver
	client *client.Client
	failed chan struct{} // closed at the bank's first failure
	dir    string
	stop   func()
	sent   []*otlp.Exporter
}

func open(t *testing.T, traced bool) *shop {
	s := &shop{receiver: newReceiver(t), dir: t.TempDir(), failed: make(chan struct{})}
	s.restart(t, traced)
	return s
}

// restart restarts the coordinator, the services and the client on the same data.
func (s *shop) restart(t *testing.T, traced bool) {
	t.Helper()
	config := server.Config{DataDir: s.dir, Logger: slog.New(slog.DiscardHandler), Definitions: []*saga.Definition{checkout},
		Traces: &server.Traces{Endpoint: s.URL, Service: "coordinator"}}
	coordinator, err := server.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	ended, running := make(chan error, 8), 0
	services, stopServices := context.WithCancel(context.Background())
	for _, p := range s.services(t) {
		bus, err := coordinator.Connect(t.Context(), p.Name())
		if err != nil {
			t.Fatal(err)
		}
		running++
		go func() { ended <- errors.Join(p.Run(services, bus), bus.Close()) }()
	}
	bus, err := coordinator.Connect(t.Context(), "caller")
	if err != nil {
		t.Fatal(err)
	}
	var options []client.Option
	if traced {
		options = append(options, client.Tracing(tracing.Client(s.provider(t, "caller"))))
	}
	s.client = client.New(bus, options...)
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		stopServices()
		for range running {
			if err := <-ended; err != nil {
				t.Errorf("a service: %v", err)
			}
		}
		for _, e := range s.sent {
			if err := e.Flush(context.Background()); err != nil {
				t.Errorf("flush: %v", err)
			}
		}
		_ = bus.Close()
		if err := coordinator.Stop(context.Background()); err != nil {
			t.Errorf("the coordinator: %v", err)
		}
	}
	t.Cleanup(s.stop)
}

func (s *shop) provider(t *testing.T, service string) trace.TracerProvider {
	e := start(t, otlp.Config{Endpoint: s.URL, Service: service})
	s.sent = append(s.sent, e)
	return e.TracerProvider()
}

func (s *shop) services(t *testing.T) []*participant.Participant[*participant.MemoryTx] {
	follow := func(name string) participant.Option {
		return participant.Tracing(tracing.Participant(s.provider(t, name)))
	}
	stock := participant.New("stock", &participant.MemoryInbox{}, follow("stock"))
	participant.Handle(stock, reserve, func(context.Context, *participant.MemoryTx, order) (struct{}, error) { return struct{}{}, nil })
	participant.HandleUndo(stock, release, func(context.Context, *participant.MemoryTx, contract.Undo[order, struct{}]) error { return nil })
	bank := participant.New("bank", &participant.MemoryInbox{}, follow("bank"))
	var once atomic.Bool
	participant.Handle(bank, charge, func(ctx context.Context, _ *participant.MemoryTx, o order) (struct{}, error) {
		switch {
		case o.Sku == "poor":
			return struct{}{}, participant.Reject("card declined")
		case o.Sku == "flaky" && participant.Command(ctx).Attempt == 1:
			if once.CompareAndSwap(false, true) {
				close(s.failed)
			}
			return struct{}{}, errors.New("the bank is closed")
		case o.Sku == "odd" && participant.Command(ctx).Attempt == 1:
			return struct{}{}, participant.Fatal(errors.New("never heard of this card"))
		}
		return struct{}{}, nil
	})
	return []*participant.Participant[*participant.MemoryTx]{stock, bank}
}

// finish starts a saga and waits until it is at rest.
func (s *shop) finish(t *testing.T, id contract.SagaID, sku string, want contract.Phase, options ...client.StartOption) contract.Birth {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := s.client.Start(ctx, checkout, order{sku}, append(options, client.ID(id))...); err != nil {
		t.Fatal(err)
	}
	status, err := s.client.Wait(ctx, id)
	if err != nil || status.Phase != want {
		t.Fatalf("saga %s: %+v, %v; want %s", id, status, err, want)
	}
	return status.Birth
}

const callersTrace = "0af7651916cd43dd8448eb211c80319c"

func named(spans []span, name string) (found []span) {
	for _, s := range spans {
		if s.name == name {
			found = append(found, s)
		}
	}
	return found
}

// ended returns a function that reports whether the last transition of a saga, and at least the
// given number of spans, have arrived.
func ended(atLeast int) func([]span) bool {
	return func(spans []span) bool {
		return len(spans) >= atLeast && slices.ContainsFunc(spans, func(s span) bool { return s.attributes["amends.saga.ended"] == true })
	}
}

// tree draws the tree of spans, sorted by their start.
func tree(t *testing.T, spans []span, root string) string {
	t.Helper()
	byID := map[string]span{}
	for _, s := range spans {
		if _, twice := byID[s.id]; twice {
			t.Errorf("span %s (%s) arrived twice", s.id, s.name)
		}
		byID[s.id] = s
	}
	slices.SortStableFunc(spans, func(a, b span) int { return int(int64(a.begin) - int64(b.begin)) })
	var b strings.Builder
	drawn := 0
	var below func(parent, indent string)
	below = func(parent, indent string) {
		for _, s := range spans {
			if s.parent == parent {
				drawn++
				b.WriteString(indent + s.service + ": " + s.name)
				for _, l := range s.links {
					b.WriteString(" ~" + l.kind.(string) + ":" + byID[l.span].name)
				}
				b.WriteByte('\n')
				below(s.id, indent+"  ")
			}
		}
	}
	below(root, "")
	if drawn != len(spans) {
		t.Errorf("%d of %d spans are in the tree", drawn, len(spans))
	}
	return b.String()
}

// TestOneTreeAcrossTheBus checks that the trace of a checkout is one tree across the bus, below the
// caller's span. It has links to the answers, and a link across the wait between two attempts.
func TestOneTreeAcrossTheBus(t *testing.T) {
	s := open(t, true)
	const caller = "00-" + callersTrace + "-b7ad6b7169203331-01"
	birth := s.finish(t, "order-1", "flaky", contract.PhaseCompleted, client.TraceContext(caller, "vendor=1"))
	s.stop()
	spans := s.trace(t, callersTrace, ended(9))
	want := `caller: send saga.api.start
  coordinator: start checkout
    stock: process saga.command.stock.reserve
    coordinator: answer reserve ~answer:process saga.command.stock.reserve
      bank: process saga.command.bank.charge
    coordinator: answer charge ~answer:process saga.command.bank.charge
    coordinator: retry charge ~wait:answer charge
      bank: process saga.command.bank.charge
    coordinator: answer charge ~answer:process saga.command.bank.charge
`
	if diff := cmp.Diff(want, tree(t, spans, "b7ad6b7169203331")); diff != "" {
		t.Errorf("the tree of spans differs (-want +got):\n%s", diff)
	}
	checkAttributes(t, spans, birth)
}

// checkAttributes compares single spans with the semantic conventions for
// messaging and with docs/OBSERVABILITY.md.
func checkAttributes(t *testing.T, spans []span, birth contract.Birth) {
	t.Helper()
	charged := named(spans, "answer charge")
	for _, tt := range []struct {
		span   span
		kind   wire.Span_SpanKind
		status wire.Status_StatusCode
		want   map[string]any
	}{
		{named(spans, "send saga.api.start")[0], wire.Span_SPAN_KIND_PRODUCER, wire.Status_STATUS_CODE_UNSET, map[string]any{
			"messaging.system": "nats", "messaging.operation.type": "send", "messaging.operation.name": "send",
			"messaging.destination.name": "saga.api.start", "messaging.message.conversation_id": "order-1", "amends.saga.id": "order-1",
		}},
		{named(spans, "start checkout")[0], wire.Span_SPAN_KIND_CONSUMER, wire.Status_STATUS_CODE_UNSET, map[string]any{
			"messaging.system": "nats", "messaging.operation.type": "process", "messaging.destination.name": "saga.api.start",
			"amends.saga.definition": "checkout/1", "amends.saga.revision": int64(1), "amends.event": "started", "amends.saga.phase": "running",
		}},
		{named(spans, "process saga.command.bank.charge")[0], wire.Span_SPAN_KIND_CONSUMER, wire.Status_STATUS_CODE_ERROR, map[string]any{
			"messaging.system": "nats", "messaging.operation.type": "process", "messaging.destination.name": "saga.command.bank.charge",
			"messaging.message.id": "order-1/" + birth.String() + "/charge/do/1", "messaging.consumer.group.name": "bank", "amends.step.name": "charge",
			"amends.step.direction": "do", "amends.step.attempt": int64(1), "amends.step.outcome": "failed", "amends.handler.called": true,
			"error.type": "failed", "amends.reason": "the bank is closed",
		}},
		{named(spans, "retry charge")[0], wire.Span_SPAN_KIND_INTERNAL, wire.Status_STATUS_CODE_UNSET, map[string]any{
			"amends.event": "timer_fired", "amends.timer": "retry", "amends.step.name": "charge", "amends.saga.revision": int64(4), "messaging.system": nil,
		}},
		{charged[len(charged)-1], wire.Span_SPAN_KIND_CONSUMER, wire.Status_STATUS_CODE_UNSET, map[string]any{
			"messaging.system": "nats", "messaging.operation.type": "process", "messaging.destination.name": "saga.event.bank.order-1." + birth.String() + ".charge.do.2",
			"amends.step.name": "charge", "amends.step.attempt": int64(2), "amends.step.outcome": "completed", "amends.participant": "bank",
			"amends.saga.revision": int64(5), "amends.saga.phase": "completed", "amends.saga.ended": true,
		}},
	} {
		if tt.span.kind != tt.kind || tt.span.status != tt.status {
			t.Errorf("%s: %s, %s; want %s, %s", tt.span.name, tt.span.kind, tt.span.status, tt.kind, tt.status)
		}
		for key, want := range tt.want {
			if got := tt.span.attributes[key]; got != want {
				t.Errorf("%s: %s is %v, want %v", tt.span.name, key, got, want)
			}
		}
		if tt.span.end < tt.span.begin {
			t.Errorf("%s ends before it begins", tt.span.name)
		}
	}
}

// TestTraceSurvivesARestart checks that without a caller's trace, the ids are derived from the
// saga's id. After a restart, the coordinator continues the trace from the stored context.
func TestTraceSurvivesARestart(t *testing.T) {
	s := open(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := s.client.Start(ctx, checkout, order{"flaky"}, client.ID("order-2")); err != nil {
		t.Fatal(err)
	}
	<-s.failed
	s.stop()
	s.failed = make(chan struct{})
	s.restart(t, false)
	if status, err := s.client.Wait(ctx, "order-2"); err != nil || status.Phase != contract.PhaseCompleted {
		t.Fatalf("%+v, %v", status, err)
	}
	history, err := s.client.History(ctx, "order-2")
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	spans := s.trace(t, observe.TraceID("order-2"), ended(len(history)+3))
	drawn := tree(t, spans, "")
	if !strings.HasPrefix(drawn, "coordinator: start checkout\n  stock: process") || strings.Count(drawn, "\ncoordinator") != 0 {
		t.Errorf("not one tree below the start:\n%s", drawn)
	}
	if !strings.Contains(drawn, "retry charge ~wait:answer charge\n    bank: process saga.command.bank.charge\n") {
		t.Errorf("the second attempt, after the restart, is not in the tree:\n%s", drawn)
	}
}

// TestUndoAndSampling checks that undos are part of the same tree, and that a caller's decision not
// to sample is kept.
func TestUndoAndSampling(t *testing.T) {
	s := open(t, false)
	s.finish(t, "order-3", "poor", contract.PhaseCompensated, client.TraceContext("00-"+callersTrace+"-b7ad6b7169203331-01", ""))
	const silent = "4bf92f3577b34da6a3ce929d0e0e4736"
	s.finish(t, "order-4", "rich", contract.PhaseCompleted, client.TraceContext("00-"+silent+"-00f067aa0ba902b7-00", ""))
	s.stop()
	spans := s.trace(t, callersTrace, ended(7))
	want := `coordinator: start checkout
  stock: process saga.command.stock.reserve
  coordinator: answer reserve ~answer:process saga.command.stock.reserve
    bank: process saga.command.bank.charge
  coordinator: answer charge ~answer:process saga.command.bank.charge
    stock: process saga.command.stock.release
  coordinator: answer reserve ~answer:process saga.command.stock.release
`
	if diff := cmp.Diff(want, tree(t, spans, "b7ad6b7169203331")); diff != "" {
		t.Errorf("the tree of a compensation differs (-want +got):\n%s", diff)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.spans[silent]); n != 0 {
		t.Errorf("%d spans of a trace that its caller does not sample", n)
	}
}

// TestOperatorsDecision checks the span of an operator's decision. It is linked to its request, and
// to the transition that parked the saga; the span of that transition is an error.
func TestOperatorsDecision(t *testing.T) {
	s := open(t, true)
	const caller = "00-" + callersTrace + "-b7ad6b7169203331-01"
	s.finish(t, "order-5", "odd", contract.PhaseParked, client.TraceContext(caller, ""))
	parent, _ := tracing.Parse(caller, "")
	ctx, cancel := context.WithTimeout(trace.ContextWithRemoteSpanContext(t.Context(), parent), limit)
	defer cancel()
	if _, err := s.client.Operate(ctx, "order-5", api.Decision{Operation: "retry", Step: "charge", By: "ada", Reason: "the card is known now"}); err != nil {
		t.Fatal(err)
	}
	if status, err := s.client.Wait(ctx, "order-5"); err != nil || status.Phase != contract.PhaseCompleted {
		t.Fatalf("%+v, %v", status, err)
	}
	s.stop()
	spans := s.trace(t, callersTrace, ended(10))
	drawn := tree(t, spans, "b7ad6b7169203331")
	for _, want := range []string{
		"\n    coordinator: retry checkout ~request:send saga.api.operate ~wait:answer charge\n      bank: process saga.command.bank.charge\n",
		"\ncaller: send saga.api.operate\n",
	} {
		if !strings.Contains(drawn, want) {
			t.Errorf("want %q in:\n%s", want, drawn)
		}
	}
	parked, retry := named(spans, "answer charge")[0], named(spans, "retry checkout")[0]
	if parked.status != wire.Status_STATUS_CODE_ERROR || parked.attributes["error.type"] != "parked" || parked.attributes["amends.saga.phase"] != "parked" {
		t.Errorf("the transition that parked: %+v", parked)
	}
	if retry.attributes["amends.operation"] != "retry" || retry.attributes["amends.reason"] != "the card is known now" || retry.kind != wire.Span_SPAN_KIND_CONSUMER {
		t.Errorf("the decision: %+v", retry)
	}
}
