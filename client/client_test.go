package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

const traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

var checkout = contract.DefinitionRef{Name: "checkout", Version: 3}

// fakeBus answers and records requests, in place of a bus with a coordinator.
type fakeBus struct {
	mu       sync.Mutex
	requests []transport.Envelope
	answer   func(ctx context.Context, n int, request *transport.Envelope) (*transport.Envelope, error)
}

func (b *fakeBus) Request(ctx context.Context, request *transport.Envelope) (*transport.Envelope, error) {
	b.mu.Lock()
	b.requests = append(b.requests, *request)
	n := len(b.requests)
	b.mu.Unlock()
	if n > 100_000 {
		panic("the client asks without end") // stops before the memory is full
	}
	return b.answer(ctx, n, request)
}

func reply(v any) (*transport.Envelope, error) {
	data, err := json.Marshal(v)
	return &transport.Envelope{Type: transport.TypeReply, Data: data}, err
}

func refuse(code transport.Code, reason string) (*transport.Envelope, error) {
	return &transport.Envelope{Type: transport.TypeReply, Code: string(code), Reason: reason}, nil
}

func TestStartSendsTheInputAndTheAttributes(t *testing.T) {
	for name, tt := range map[string]struct {
		input any
		want  string
	}{
		"a value is written as JSON": {map[string]int{"total": 3}, `{"total":3}`},
		"bytes go as they are":       {[]byte("{ \"total\" :3}"), "{ \"total\" :3}"},
		"raw JSON goes as it is":     {json.RawMessage(" [1] "), " [1] "},
		"nil is null":                {nil, "null"},
	} {
		t.Run(name, func(t *testing.T) {
			bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
				return reply(transport.Status{ID: r.Saga, Definition: r.Definition, Phase: contract.Running, Revision: 1})
			}}
			c := client.New(bus, client.Prefix("shop"))
			status, err := c.Start(t.Context(), checkout, tt.input, client.ID("order-42"), client.Trace(traceParent, "vendor=a"))
			if err != nil {
				t.Fatal(err)
			}
			if status.ID != "order-42" || status.Phase != contract.Running {
				t.Errorf("status is %+v", status)
			}
			r := bus.requests[0]
			if r.Subject != "shop.api.start" || r.Type != transport.TypeRequest || r.Definition != checkout || r.Saga != "order-42" {
				t.Errorf("request is %+v", r)
			}
			if r.TraceParent != traceParent || r.TraceState != "vendor=a" || r.ContentType != transport.JSON || r.ID == "" {
				t.Errorf("request's attributes are %+v", r)
			}
			if !bytes.Equal(r.Data, []byte(tt.want)) {
				t.Errorf("data is %q, want %q", r.Data, tt.want)
			}
		})
	}
}

// TestStartIsRepeatedWithTheSameID checks the caller's part of I2. A caller without an answer
// repeats the request with the same id instead of starting a second saga.
func TestStartIsRepeatedWithTheSameID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{}
		bus.answer = func(ctx context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
			switch n {
			case 1:
				return nil, transport.ErrNoResponders
			case 2:
				<-ctx.Done() // the answer is lost
				return nil, ctx.Err()
			case 3:
				return refuse(transport.CodeUnavailable, "starting")
			case 4:
				return nil, errors.New("connection closed")
			}
			return reply(transport.Status{ID: r.Saga, Existed: true})
		}
		began := time.Now()
		status, err := client.New(bus).Start(t.Context(), checkout, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(bus.requests) != 5 {
			t.Fatalf("asked %d times, want 5", len(bus.requests))
		}
		first := bus.requests[0].Saga
		if err := first.Check(); err != nil {
			t.Fatal(err)
		}
		for _, r := range bus.requests {
			if r.Saga != first {
				t.Errorf("asked for saga %s, then for %s", first, r.Saga)
			}
		}
		if status.ID != first || !status.Existed {
			t.Errorf("status is %+v", status)
		}
		if took := time.Since(began); took < 5*time.Second || took > 20*time.Second {
			t.Errorf("took %v; one lost answer costs 5 s and the pauses little", took)
		}
	})
}

func TestStartEndsWithItsContextAndNamesTheSaga(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(context.Context, int, *transport.Envelope) (*transport.Envelope, error) {
			return nil, transport.ErrNoResponders
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := client.New(bus).Start(ctx, checkout, 1)
		var e *client.Error
		if !errors.As(err, &e) || e.ID == "" || e.Op != "start" {
			t.Fatalf("error is %#v, want a *client.Error with the id", err)
		}
		if !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v, want ErrUnavailable and DeadlineExceeded", err)
		}
		if !strings.Contains(err.Error(), "nobody serves saga.api.start") {
			t.Errorf("error does not say why: %v", err)
		}
		if len(bus.requests) < 5 {
			t.Errorf("asked %d times in 10 s", len(bus.requests))
		}
	})
}

func TestRefusalsAreConditions(t *testing.T) {
	for code, want := range map[transport.Code]error{
		transport.CodeInvalidArgument:    client.ErrInvalid,
		transport.CodeNotFound:           client.ErrNotFound,
		transport.CodeAlreadyExists:      client.ErrConflict,
		transport.CodeFailedPrecondition: client.ErrIllegal,
		transport.CodeResourceExhausted:  client.ErrOverloaded,
		transport.CodeInternal:           client.ErrInternal,
		transport.Code("from-tomorrow"):  client.ErrInternal,
	} {
		bus := &fakeBus{answer: func(context.Context, int, *transport.Envelope) (*transport.Envelope, error) {
			return refuse(code, "because")
		}}
		_, err := client.New(bus).Start(t.Context(), checkout, 1, client.ID("a"))
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "because") {
			t.Errorf("%s gives %v, want %v", code, err, want)
		}
		if len(bus.requests) != 1 {
			t.Errorf("%s: asked %d times; a refusal is not repeated", code, len(bus.requests))
		}
	}
}

// An Error contains the delay that an overloaded coordinator suggests.
func TestRetryAfter(t *testing.T) {
	bus := &fakeBus{answer: func(context.Context, int, *transport.Envelope) (*transport.Envelope, error) {
		return &transport.Envelope{Code: string(transport.CodeResourceExhausted), RetryAfter: 1500 * time.Millisecond}, nil
	}}
	_, err := client.New(bus).Start(t.Context(), checkout, 1)
	var refused *client.Error
	if !errors.As(err, &refused) || refused.RetryAfter != 1500*time.Millisecond {
		t.Errorf("error is %#v, want RetryAfter 1.5s", err)
	}
}

// TestStartRetriesWhenOverloaded: Start waits for the time that the coordinator suggests, plus or
// minus one half. If the caller's context ends before that, Start returns the reason.
func TestStartRetriesWhenOverloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(_ context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
			if n < 4 {
				return &transport.Envelope{Code: string(transport.CodeResourceExhausted), RetryAfter: 20 * time.Second}, nil
			}
			return reply(transport.Status{ID: r.Saga, Phase: contract.Running})
		}}
		c, began := client.New(bus, client.RetryWhenOverloaded()), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		if _, err := c.Start(ctx, checkout, 1); !errors.Is(err, client.ErrOverloaded) || !errors.Is(err, context.DeadlineExceeded) || len(bus.requests) != 1 {
			t.Errorf("after %d requests the error is %v", len(bus.requests), err)
		}
		if _, err := c.Start(t.Context(), checkout, 1); err != nil || len(bus.requests) != 4 {
			t.Errorf("after %d requests the error is %v", len(bus.requests), err)
		}
		if took := time.Since(began); took < 9*time.Second+2*10*time.Second || took > 9*time.Second+2*30*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// After an unanswered request, a refusal does not show whether the saga was started. The error must
// not state that it was not.
func TestARefusalAfterSilenceIsNotTheLastWord(t *testing.T) {
	for name, after := range map[string]int{"the coordinator recovers": 4, "it does not": 1 << 30} {
		synctest.Test(t, func(t *testing.T) {
			bus := &fakeBus{answer: func(ctx context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
				switch {
				case n == 1:
					<-ctx.Done()
					return nil, ctx.Err()
				case n < after:
					return refuse(transport.CodeResourceExhausted, "busy")
				}
				return reply(transport.Status{ID: r.Saga, Phase: contract.Running, Existed: true})
			}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := client.New(bus).Start(ctx, checkout, 1, client.ID("a"))
			if recovers := after == 4; recovers && err != nil || !recovers && (!errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrOverloaded)) {
				t.Errorf("%s: Start returned %v", name, err)
			}
		})
	}
}

func TestWhatIsWrongIsNotSent(t *testing.T) {
	bus := &fakeBus{answer: func(context.Context, int, *transport.Envelope) (*transport.Envelope, error) {
		return nil, errors.New("must not be asked")
	}}
	c := client.New(bus)
	for name, do := range map[string]func() error{
		"id with a dot": func() error { _, err := c.Start(t.Context(), checkout, 1, client.ID("a.b")); return err },
		"definition":    func() error { _, err := c.Start(t.Context(), contract.DefinitionRef{Name: "A B"}, 1); return err },
		"input":         func() error { _, err := c.Start(t.Context(), checkout, func() {}); return err },
		"get":           func() error { _, err := c.Get(t.Context(), "*"); return err },
		"wait":          func() error { _, err := c.Wait(t.Context(), ""); return err },
		"history":       func() error { _, err := c.History(t.Context(), "a b"); return err },
		"cancel":        func() error { _, err := c.Cancel(t.Context(), ">", "me", "x"); return err },
	} {
		if err := do(); !errors.Is(err, client.ErrInvalid) {
			t.Errorf("%s: error is %v, want ErrInvalid", name, err)
		}
	}
	if len(bus.requests) != 0 {
		t.Errorf("%d requests were sent", len(bus.requests))
	}
}

func TestTooLargeAndClosedAreFinal(t *testing.T) {
	for _, tt := range []struct{ cause, want error }{
		{transport.ErrTooLarge, client.ErrInvalid},
		{transport.ErrClosed, client.ErrUnavailable},
	} {
		bus := &fakeBus{answer: func(context.Context, int, *transport.Envelope) (*transport.Envelope, error) {
			return nil, tt.cause
		}}
		_, err := client.New(bus).Start(t.Context(), checkout, 1)
		if !errors.Is(err, tt.want) || !errors.Is(err, tt.cause) {
			t.Errorf("%v gives %v", tt.cause, err)
		}
		if len(bus.requests) != 1 {
			t.Errorf("%v: asked %d times", tt.cause, len(bus.requests))
		}
	}
}

func TestOperateIsNotRepeatedOnceItMayHaveArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(ctx context.Context, n int, _ *transport.Envelope) (*transport.Envelope, error) {
			if n < 3 {
				return nil, transport.ErrNoResponders // the request did not arrive, so it is safe to repeat
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		_, err := client.New(bus).Cancel(t.Context(), "order-42", "ada", "customer called")
		if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "may or may not") {
			t.Errorf("error is %v", err)
		}
		if len(bus.requests) != 3 {
			t.Fatalf("asked %d times, want 3", len(bus.requests))
		}
		var op transport.Decision
		if err := json.Unmarshal(bus.requests[0].Data, &op); err != nil {
			t.Fatal(err)
		}
		if op.Operation != "cancel" || op.By != "ada" || op.Reason != "customer called" {
			t.Errorf("operation is %+v", op)
		}
	})
}

func TestAllReadsEveryPage(t *testing.T) {
	bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		var q transport.ListQuery
		if err := json.Unmarshal(r.Data, &q); err != nil || q.Definition != "checkout" {
			return refuse(transport.CodeInvalidArgument, "query")
		}
		switch q.Cursor {
		case "":
			return reply(transport.ListReply{Sagas: []transport.Status{{ID: "a"}, {ID: "b"}}, Next: "two"})
		case "two":
			return reply(transport.ListReply{Sagas: []transport.Status{{ID: "c"}}})
		}
		return refuse(transport.CodeInvalidArgument, "cursor")
	}}
	var ids []string
	for s, err := range client.New(bus).All(t.Context(), transport.ListQuery{Filter: transport.Filter{Definition: "checkout"}}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, string(s.ID))
	}
	if got := strings.Join(ids, ","); got != "a,b,c" {
		t.Errorf("listed %s", got)
	}
}

type spec struct{ json.RawMessage }

func (spec) Ref() contract.DefinitionRef { return checkout }

func TestRegisterAndLists(t *testing.T) {
	bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		d := transport.DefinitionReply{Definition: checkout, Fingerprint: "f00"}
		switch r.Subject {
		case "saga.api.define":
			if string(r.Data) != `{"name":"checkout"}` {
				return refuse(transport.CodeInvalidArgument, string(r.Data))
			}
			return reply(d)
		case "saga.api.definitions":
			return reply(transport.DefinitionsReply{Definitions: []transport.DefinitionReply{d}})
		case "saga.api.history":
			return reply(transport.HistoryReply{Events: []transport.HistoryEvent{{Revision: 1, Type: "started"}}})
		}
		return refuse(transport.CodeNotFound, r.Subject)
	}}
	c := client.New(bus)
	if d, err := c.Register(t.Context(), spec{json.RawMessage(`{"name":"checkout"}`)}); err != nil || d.Fingerprint != "f00" {
		t.Errorf("Register: %v, %v", d, err)
	}
	if ds, err := c.Definitions(t.Context()); err != nil || len(ds) != 1 {
		t.Errorf("Definitions: %v, %v", ds, err)
	}
	if h, err := c.History(t.Context(), "a"); err != nil || len(h) != 1 || h[0].Type != "started" {
		t.Errorf("History: %v, %v", h, err)
	}
	if _, err := c.Get(t.Context(), "a"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
}

// TestImportsLittle: a caller does not compile a server, a database, or an expression language.
func TestImportsLittle(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"github.com/amends-dev/amends/client", "github.com/amends-dev/amends/contract", "github.com/amends-dev/amends/transport",
		"github.com/amends-dev/amends/internal/plural", "github.com/amends-dev/amends/internal/loglimit", "github.com/amends-dev/amends/internal/waiting", "github.com/google/uuid", "github.com/cenkalti/backoff/v5",
	}
	for path := range strings.FieldsSeq(string(out)) {
		found := false
		for _, a := range allowed {
			found = found || path == a
		}
		if !found {
			t.Errorf("client imports %s; it may import %s and the standard library", path, strings.Join(allowed, ", "))
		}
	}
}

// TestRequestsTakeTurns: many concurrent callers have no more requests in flight than the client
// allows, and all are answered. Requests that the coordinator holds do not count.
func TestRequestsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const crowd, allowed = 1000, 8
		var now, most, held atomic.Int64
		bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
			if r.Subject == "saga.api.wait" {
				held.Add(1)
				time.Sleep(time.Second) // virtual: the coordinator holds it
				return reply(transport.Status{ID: r.Saga, Phase: contract.Completed})
			}
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(10 * time.Millisecond) // virtual: the time in flight
			now.Add(-1)
			return reply(transport.Status{ID: r.Saga, Phase: contract.Running})
		}}
		c := client.New(bus, client.Concurrency(allowed))
		var callers sync.WaitGroup
		for range crowd {
			callers.Go(func() {
				status, err := c.Start(t.Context(), checkout, nil)
				if err == nil {
					_, err = c.Wait(t.Context(), status.ID)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		began := time.Now()
		callers.Wait()
		if most.Load() != allowed || held.Load() != crowd {
			t.Errorf("%d requests at once, want %d; %d were held, want %d", most.Load(), allowed, held.Load(), crowd)
		}
		// In series, all requests together would take crowd*10 ms.
		if took := time.Since(began); took > crowd/allowed*10*time.Millisecond+time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// TestNoTurn: if a caller's context ends while its request is queued, the error says that nothing
// was sent. A read does not queue behind starts.
func TestNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(ctx context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
			if r.Subject == "saga.api.get" {
				return reply(transport.Status{ID: r.Saga, Phase: contract.Running})
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		c := client.New(bus, client.Concurrency(1), client.Timeout(time.Hour))
		go func() { _, _ = c.Start(t.Context(), checkout, nil, client.ID("order-1")) }() // ends with the test
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Get(ctx, "order-1"); err != nil {
			t.Fatal(err)
		}
		_, err := c.Start(ctx, checkout, nil, client.ID("order-2"))
		if !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not sent: this client already has the maximum number of requests") {
			t.Errorf("error is %v", err)
		}
		if len(bus.requests) != 2 {
			t.Errorf("%d requests were sent, want 2", len(bus.requests))
		}
	})
}

// The client refuses requests that every coordinator would refuse. It does not refuse an invalid
// trace context, but drops it.
func TestStartBounds(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		return reply(transport.Status{ID: r.Saga})
	}}
	for name, start := range map[string]func() error{
		"id": func() error {
			_, err := client.New(bus).Start(t.Context(), checkout, 1, client.ID(contract.SagaID(long)))
			return err
		},
		"definition": func() error {
			_, err := client.New(bus).Start(t.Context(), contract.DefinitionRef{Name: long}, 1)
			return err
		},
		"content type": func() error {
			_, err := client.New(bus).Start(t.Context(), checkout, []byte("x"), client.ContentType(long))
			return err
		},
		"prefix": func() error {
			_, err := client.New(bus, client.Prefix(long)).Start(t.Context(), checkout, 1)
			return err
		},
	} {
		if err := start(); !errors.Is(err, client.ErrInvalid) || !strings.Contains(err.Error(), "70000") || len(err.Error()) > 500 {
			t.Errorf("%s: %.600v", name, err)
		}
	}
	if len(bus.requests) != 0 {
		t.Errorf("%d requests were sent", len(bus.requests))
	}
	for parent, state := range map[string]string{long: "a=1", traceParent: long} {
		if _, err := client.New(bus).Start(t.Context(), checkout, 1, client.Trace(parent, state)); err != nil {
			t.Errorf("a trace context was refused: %.600v", err)
		}
	}
	for _, r := range bus.requests {
		if len(r.TraceParent) > transport.MaxTraceParent || r.TraceState != "" {
			t.Errorf("%.100s, %.100s was sent", r.TraceParent, r.TraceState)
		}
	}
}
