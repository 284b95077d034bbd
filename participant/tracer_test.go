package participant

import (
	"context"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Without a tracer, a command does not allocate more, and its answer has the command's trace
// context.
func TestNobodyFollows(t *testing.T) {
	p := New("stock", &MemoryInbox{})
	v := &invocation[*MemoryTx]{p: p, command: &transport.Envelope{TraceParent: "00-a", TraceState: "b=1"}}
	ctx, answer := context.Background(), Answer{Outcome: contract.OutcomeCompleted}
	if n := testing.AllocsPerRun(100, func() {
		if v.begin(ctx) != ctx {
			t.Error("the handler gets another context")
		}
		if parent, state := v.traceContext(); parent != "00-a" || state != "b=1" {
			t.Errorf("the answer carries %q, %q", parent, state)
		}
		v.end(v.reportOf(answer, false))
	}); n != 0 {
		t.Errorf("%v allocations for a tracer that is not there", n)
	}
}

// own is the trace context of the follower's spans.
const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// follower is a Tracer that counts its calls.
type follower struct {
	begun, ended int
	last         Report
}

type inHandler struct{}

func (f *follower) Command(ctx context.Context, _ *transport.Envelope) (context.Context, Span) {
	f.begun++
	return context.WithValue(ctx, inHandler{}, true), f
}
func (f *follower) Context() (traceParent, traceState string) { return own, "own=1" }
func (f *follower) End(r Report)                              { f.ended++; f.last = r }

// Every command that can be answered has one span. The span is the parent of the handler's spans,
// and the answer carries its context.
func TestFollowed(t *testing.T) {
	f := &follower{}
	p := New("stock", &MemoryInbox{}, Tracing(f))
	var below bool
	Handle(p, contract.NewCommand[int, int]("stock", "count"), func(ctx context.Context, _ *MemoryTx, n int) (int, error) {
		below = ctx.Value(inHandler{}) != nil
		return n, Reject("no")
	})
	command := &transport.Envelope{
		Subject: "saga.command.stock.count", Type: transport.TypeCommand, ReplyTo: "saga.event.stock.s1.7.count.do.1", ID: "s1/7/count/do/1",
		Saga: "s1", Birth: 7, Step: "count", Direction: contract.DirectionDo, Attempt: 1, TraceParent: "00-command", Data: []byte("1"),
	}
	answer, err := p.Answer(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	if answer.TraceParent != own || answer.TraceState != "own=1" {
		t.Errorf("the answer carries %q, %q", answer.TraceParent, answer.TraceState)
	}
	if !below || f.begun != 1 || f.ended != 1 || f.last.Outcome != contract.OutcomeRejected || f.last.Reason != "no" {
		t.Errorf("the handler is below: %v; %+v", below, f)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	command.Saga, command.ID, command.ReplyTo = "s2", "s2/7/count/do/1", "saga.event.stock.s2.7.count.do.1"
	if _, err := p.Answer(ended, command); err != nil && f.last.Outcome != "" {
		t.Errorf("a command that was cut off ended as %+v", f.last)
	}
	if f.begun != f.ended {
		t.Errorf("%d spans begun, %d ended", f.begun, f.ended)
	}
}
