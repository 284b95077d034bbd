package client

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// answering is a bus with a coordinator that answers every request with a saga.
type answering struct{ requests []transport.Envelope }

func (a *answering) Request(_ context.Context, request *transport.Envelope) (*transport.Envelope, error) {
	a.requests = append(a.requests, *request)
	if len(a.requests) == 1 {
		return nil, transport.ErrNoResponders
	}
	if strings.HasSuffix(request.Subject, ".wait") {
		return &transport.Envelope{Data: []byte(`{"saga":{"phase":"completed"}}`)}, nil
	}
	return &transport.Envelope{Data: []byte(`{"saga":{}}`)}, nil
}

// The caller's trace context, and the one that the follower derives from it.
const (
	caller   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ofCaller = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
)

// follower is a Tracer that counts its calls.
type follower struct {
	begun, ended int
	seen         []string // subject and saga of the requests
}

func (f *follower) Request(_ context.Context, request *transport.Envelope) func(error) {
	f.begun++
	f.seen = append(f.seen, request.Subject+" "+string(request.Saga))
	request.TraceParent = strings.Replace(request.TraceParent, "-b7ad6b7169203331-", "-00f067aa0ba902b7-", 1)
	return func(error) { f.ended++ }
}

// A request that changes a saga has one span, however often it is repeated. A request that only
// reads has none.
func TestFollow(t *testing.T) {
	bus, f := &answering{}, &follower{}
	c := New(bus, Tracing(f))
	if _, err := c.Start(t.Context(), contract.DefinitionRef{Name: "checkout"}, 1, ID("a"), TraceContext(caller, "")); err != nil {
		t.Fatal(err)
	}
	if len(bus.requests) != 2 || bus.requests[0].TraceParent != ofCaller || bus.requests[1].TraceParent != ofCaller {
		t.Errorf("the start went out as %+v", bus.requests)
	}
	if _, err := c.Cancel(t.Context(), "a", api.Decision{By: "ada", Reason: "why"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(t.Context(), contract.DefinitionRef{Name: "checkout"}, 1, ID("b"), TraceContext(caller, "")); err != nil {
		t.Fatal(err)
	}
	if ran := bus.requests[4]; ran.Subject != "saga.api.run" || ran.TraceParent != ofCaller || bus.requests[5].Subject != "saga.api.wait" || bus.requests[5].TraceParent != "" {
		t.Errorf("the run and its wait are %+v", bus.requests[4:])
	}
	if got, want := strings.Join(f.seen, ", "), "saga.api.start a, saga.api.operate a, saga.api.run b"; got != want {
		t.Errorf("the tracer saw %s, want %s", got, want)
	}
	if f.begun != 3 || f.ended != 3 {
		t.Errorf("%d spans begun, %d ended; want 3: the start, the cancel and the run", f.begun, f.ended)
	}
	if _, err := c.Start(t.Context(), contract.DefinitionRef{}, 1); !errors.Is(err, ErrInvalid) || f.begun != f.ended {
		t.Errorf("%v; %d spans begun, %d ended", err, f.begun, f.ended)
	}
}

// Without a tracer, a request does not allocate more.
func TestNobodyFollows(t *testing.T) {
	c, q := New(&answering{}), &call{method: api.MethodStart, moves: true}
	if n := testing.AllocsPerRun(100, func() { c.follow(context.Background(), q) }); n != 0 {
		t.Errorf("%v allocations for a tracer that is not there", n)
	}
}
