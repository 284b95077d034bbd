package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
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

// replySaga returns the response of a request about one saga.
func replySaga(s api.Saga) (*transport.Envelope, error) { return reply(api.GetResponse{Saga: &s}) }

// about returns the saga of a request: an attribute of a start or run, and a field of the others.
func about(r *transport.Envelope) contract.SagaID {
	if strings.HasSuffix(r.Subject, ".start") || strings.HasSuffix(r.Subject, ".run") {
		return r.Saga
	}
	var request api.GetRequest
	if err := json.Unmarshal(r.Data, &request); err != nil || r.Saga != "" {
		panic(fmt.Sprintf("request %+v: %v", r, err))
	}
	return request.ID
}

func refuse(code api.Code, reason string) (*transport.Envelope, error) {
	return &transport.Envelope{Type: transport.TypeReply, Code: string(code), Reason: reason}, nil
}

func TestRefusalsAreConditions(t *testing.T) {
	for code, want := range map[api.Code]error{
		api.CodeInvalidArgument:    client.ErrInvalid,
		api.CodeNotFound:           client.ErrNotFound,
		api.CodeAlreadyExists:      client.ErrConflict,
		api.CodeFailedPrecondition: client.ErrIllegal,
		api.CodeResourceExhausted:  client.ErrOverloaded,
		api.CodeInternal:           client.ErrInternal,
		api.Code("from-tomorrow"):  client.ErrInternal,
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
		return &transport.Envelope{Code: string(api.CodeResourceExhausted), RetryAfter: 1500 * time.Millisecond}, nil
	}}
	_, err := client.New(bus).Start(t.Context(), checkout, 1)
	var refused *client.Error
	if !errors.As(err, &refused) || refused.RetryAfter != 1500*time.Millisecond {
		t.Errorf("error is %#v, want RetryAfter 1.5s", err)
	}
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
					return refuse(api.CodeResourceExhausted, "busy")
				}
				return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseRunning, Existed: true})
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
		"cancel":        func() error { _, err := c.Cancel(t.Context(), ">", api.Decision{By: "me", Reason: "x"}); return err },
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
		_, err := client.New(bus).Cancel(t.Context(), "order-42", api.Decision{By: "ada", Reason: "customer called"})
		if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "may or may not") {
			t.Errorf("error is %v", err)
		}
		if len(bus.requests) != 3 {
			t.Fatalf("asked %d times, want 3", len(bus.requests))
		}
		if got, want := string(bus.requests[0].Data), `{"id":"order-42","decision":{"operation":"cancel","by":"ada","reason":"customer called"}}`; got != want {
			t.Errorf("request is %s, want %s", got, want)
		}
	})
}

func TestExpectedRevision(t *testing.T) {
	bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseRunning})
	}}
	if _, err := client.New(bus).Operate(t.Context(), "order-42", api.Decision{Operation: contract.OperationPause}, client.ExpectedRevision(7)); err != nil {
		t.Fatal(err)
	}
	if got, want := string(bus.requests[0].Data), `{"id":"order-42","decision":{"operation":"pause"},"expectedRevision":7}`; got != want {
		t.Errorf("request is %s, want %s", got, want)
	}
}

// TestCancelIsADecision: who cancels and why have names, and another operation is refused.
func TestCancelIsADecision(t *testing.T) {
	bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseCompensating})
	}}
	c := client.New(bus)
	if _, err := c.Cancel(t.Context(), "order-42", api.Decision{By: "kim", Reason: "why"}, client.ExpectedRevision(7)); err != nil {
		t.Fatal(err)
	}
	want := `{"id":"order-42","decision":{"operation":"cancel","by":"kim","reason":"why"},"expectedRevision":7}`
	if got := string(bus.requests[0].Data); got != want {
		t.Errorf("request is %s, want %s", got, want)
	}
	_, err := c.Cancel(t.Context(), "order-42", api.Decision{Operation: contract.OperationPause})
	if !errors.Is(err, client.ErrInvalid) || len(bus.requests) != 1 {
		t.Errorf("another operation: %v after %d requests", err, len(bus.requests))
	}
}

// TestChangedSagaIsACondition: a caller can tell "somebody else changed it" from "not legal".
func TestChangedSagaIsACondition(t *testing.T) {
	for data, changed := range map[string]bool{`{"revision":9}`: true, `{"legal":["pause"]}`: false} {
		bus := &fakeBus{answer: func(context.Context, int, *transport.Envelope) (*transport.Envelope, error) {
			return &transport.Envelope{Code: string(api.CodeFailedPrecondition), Reason: "because", Data: []byte(data)}, nil
		}}
		_, err := client.New(bus).Operate(t.Context(), "order-42", api.Decision{Operation: contract.OperationPause}, client.ExpectedRevision(7))
		if !errors.Is(err, client.ErrIllegal) || errors.Is(err, client.ErrRevision) != changed {
			t.Errorf("%s: %v, and ErrRevision is %t", data, err, errors.Is(err, client.ErrRevision))
		}
	}
}

// prefixedBus is a fakeBus with a prefix.
type prefixedBus struct {
	fakeBus
	prefix string
}

func (b *prefixedBus) Prefix() string { return b.prefix }

// TestPrefixOfTheBus: a client without Prefix uses that of its bus.
func TestPrefixOfTheBus(t *testing.T) {
	bus := &prefixedBus{prefix: "shop"}
	bus.answer = func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		return replySaga(api.Saga{ID: about(r)})
	}
	for want, c := range map[string]*client.Client{"shop.api.get": client.New(bus), "other.api.get": client.New(bus, client.Prefix("other"))} {
		if _, err := c.Get(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if got := bus.requests[len(bus.requests)-1].Subject; got != want {
			t.Errorf("the request went to %s, want %s", got, want)
		}
	}
}

// A coordinator of a later release may return more, and one of an earlier release something else.
func TestOtherRelease(t *testing.T) {
	for data, want := range map[string]string{
		`{"saga":{"id":"a","phase":"running","mood":"good"},"weather":{"rain":true}}`: "",
		`{"id":"a","phase":"running"}`: "client and coordinator may be of different releases (the reply contains no saga)",
		`{"saga":[]}`:                  "client and coordinator may be of different releases (json: cannot unmarshal array",
		`status`:                       "client and coordinator may be of different releases (invalid character",
	} {
		bus := &fakeBus{answer: func(context.Context, int, *transport.Envelope) (*transport.Envelope, error) {
			return &transport.Envelope{Type: transport.TypeReply, Data: []byte(data)}, nil
		}}
		s, err := client.New(bus).Get(t.Context(), "a")
		if want == "" {
			if err != nil || s.Phase != contract.PhaseRunning {
				t.Errorf("%s: %+v, %v", data, s, err)
			}
			continue
		}
		if !errors.Is(err, client.ErrInternal) || !strings.Contains(err.Error(), want) || len(bus.requests) != 1 {
			t.Errorf("%s: %v after %d requests, want %q", data, err, len(bus.requests), want)
		}
	}
}

func TestAllReadsEveryPage(t *testing.T) {
	bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		var q api.ListRequest
		if err := json.Unmarshal(r.Data, &q); err != nil || q.Filter.Definition.Name != "checkout" {
			return refuse(api.CodeInvalidArgument, "query")
		}
		switch q.Cursor {
		case "":
			return reply(api.ListResponse{Sagas: []api.Saga{{ID: "a"}, {ID: "b"}}, NextCursor: "two"})
		case "two":
			return reply(api.ListResponse{Sagas: []api.Saga{{ID: "c"}}})
		}
		return refuse(api.CodeInvalidArgument, "cursor")
	}}
	var ids []string
	for s, err := range client.New(bus).All(t.Context(), api.ListRequest{Filter: api.Filter{Definition: contract.DefinitionRef{Name: "checkout"}}}) {
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
		d := api.Definition{Ref: checkout, Fingerprint: "f00"}
		switch r.Subject {
		case "saga.api.register-definition":
			if string(r.Data) != `{"source":"{\"name\":\"checkout\"}"}` {
				return refuse(api.CodeInvalidArgument, string(r.Data))
			}
			return reply(api.RegisterDefinitionResponse{Definition: &d, Existed: true})
		case "saga.api.list-definitions":
			return reply(api.ListDefinitionsResponse{Definitions: []api.Definition{d}})
		case "saga.api.history":
			return reply(api.HistoryResponse{Events: []api.Event{{Revision: 1, Type: "started"}}})
		}
		return refuse(api.CodeNotFound, r.Subject)
	}}
	c := client.New(bus)
	if d, err := c.Register(t.Context(), spec{json.RawMessage(`{"name":"checkout"}`)}); err != nil || d.Definition == nil || d.Definition.Fingerprint != "f00" || !d.Existed {
		t.Errorf("Register: %+v, %v", d, err)
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
		"github.com/amends-dev/amends/api", "github.com/amends-dev/amends/client", "github.com/amends-dev/amends/contract", "github.com/amends-dev/amends/transport",
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
				return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseCompleted})
			}
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(10 * time.Millisecond) // virtual: the time in flight
			now.Add(-1)
			return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseRunning})
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
				return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseRunning})
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		c := client.New(bus, client.Concurrency(1), client.RequestTimeout(time.Hour))
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
