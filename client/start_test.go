package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

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
				return replySaga(api.Saga{ID: about(r), Definition: r.Definition, Phase: contract.PhaseRunning, Revision: 1})
			}}
			c := client.New(bus, client.Prefix("shop"))
			status, err := c.Start(t.Context(), checkout, tt.input, client.ID("order-42"), client.TraceContext(traceParent, "vendor=a"))
			if err != nil {
				t.Fatal(err)
			}
			if status.ID != "order-42" || status.Phase != contract.PhaseRunning {
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
				return refuse(api.CodeUnavailable, "starting")
			case 4:
				return nil, errors.New("connection closed")
			}
			return replySaga(api.Saga{ID: about(r), Existed: true})
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

// TestStartRetriesWhenOverloaded: Start waits for the time that the coordinator suggests, plus or
// minus one half. If the caller's context ends before that, Start returns the reason.
func TestStartRetriesWhenOverloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(_ context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
			if n < 4 {
				return &transport.Envelope{Code: string(api.CodeResourceExhausted), RetryAfter: 20 * time.Second}, nil
			}
			return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseRunning})
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

// The client refuses requests that every coordinator would refuse. It does not refuse an invalid
// trace context, but drops it.
func TestStartBounds(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		return replySaga(api.Saga{ID: about(r)})
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
		if _, err := client.New(bus).Start(t.Context(), checkout, 1, client.TraceContext(parent, state)); err != nil {
			t.Errorf("a trace context was refused: %.600v", err)
		}
	}
	for _, r := range bus.requests {
		if len(r.TraceParent) > transport.MaxTraceParent || r.TraceState != "" {
			t.Errorf("%.100s, %.100s was sent", r.TraceParent, r.TraceState)
		}
	}
}
