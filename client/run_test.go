package client_test

import (
	"context"
	"errors"
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

// TestRunIsOneRequest: the request of Run has the data of a start, and the coordinator holds it
// like that of Wait.
func TestRunIsOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
			return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseCompensated, Reason: "card declined"})
		}}
		status, err := client.New(bus).Run(t.Context(), checkout, map[string]int{"total": 3}, client.ID("order-42"), client.TraceContext(traceParent, "vendor=a"))
		if err != nil || status.Phase != contract.PhaseCompensated || status.Reason != "card declined" {
			t.Fatalf("Run: %+v, %v", status, err)
		}
		if len(bus.requests) != 1 {
			t.Fatalf("asked %d times", len(bus.requests))
		}
		r := bus.requests[0]
		if r.Subject != "saga.api.run" || r.Saga != "order-42" || r.Definition != checkout || string(r.Data) != `{"total":3}` || r.TraceParent != traceParent || r.ContentType != transport.JSON {
			t.Errorf("request is %+v", r)
		}
		if hold := time.Until(r.Expires); hold != 5*time.Second {
			t.Errorf("held for %s, want as long as a wait: 5s", hold)
		}
	})
}

// TestRunGoesOnWaiting: if a saga takes longer than a request is held, Run sends further requests
// at increasing intervals. It still reports whether the saga existed.
func TestRunGoesOnWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		bus := &fakeBus{answer: func(ctx context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
			asked = append(asked, strings.TrimPrefix(r.Subject, "saga.api.")+" "+string(about(r))+" "+hold(r).String())
			switch n {
			case 1:
				_, _ = held(ctx, n, r)
				return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseRunning, Existed: true})
			case 4:
				return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseCompleted})
			}
			return held(ctx, n, r)
		}}
		status, err := client.New(bus).Run(t.Context(), checkout, 1, client.ID("order-42"))
		if err != nil || status.Phase != contract.PhaseCompleted || !status.Existed {
			t.Errorf("Run: %+v, %v", status, err)
		}
		want := "run order-42 5s, wait order-42 5s, wait order-42 10s, wait order-42 20s"
		if got := strings.Join(asked, ", "); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	})
}

// TestRunIsRepeatedWithTheSameID checks I2 for Run, as for Start.
func TestRunIsRepeatedWithTheSameID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(ctx context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
			switch n {
			case 1:
				return nil, transport.ErrNoResponders
			case 2: // the coordinator crashes with the request
				<-ctx.Done()
				return nil, ctx.Err()
			case 3: // a refusal says nothing about an earlier request
				return refuse(api.CodeResourceExhausted, "busy")
			}
			return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseCompleted, Existed: true})
		}}
		began := time.Now()
		status, err := client.New(bus).Run(t.Context(), checkout, 1)
		if err != nil || status.Phase != contract.PhaseCompleted || !status.Existed {
			t.Fatalf("Run: %+v, %v", status, err)
		}
		for _, r := range bus.requests {
			if r.Saga != bus.requests[0].Saga || r.Subject != "saga.api.run" {
				t.Errorf("asked %s for %s, first for %s", r.Subject, r.Saga, bus.requests[0].Saga)
			}
		}
		if took := time.Since(began); len(bus.requests) != 4 || took < 10*time.Second || took > 15*time.Second {
			t.Errorf("asked %d times in %s; a lost request costs the 5s that it may be held and the 5s of its timeout", len(bus.requests), took)
		}
	})
}

// TestRunIsRefused: a refused run is not repeated, like a refused start.
func TestRunIsRefused(t *testing.T) {
	for code, want := range map[api.Code]error{
		api.CodeAlreadyExists:     client.ErrConflict,
		api.CodeNotFound:          client.ErrNotFound,
		api.CodeInvalidArgument:   client.ErrInvalid,
		api.CodeResourceExhausted: client.ErrOverloaded,
	} {
		bus := &fakeBus{answer: func(context.Context, int, *transport.Envelope) (*transport.Envelope, error) {
			return refuse(code, "no")
		}}
		status, err := client.New(bus).Run(t.Context(), checkout, 1, client.ID("order-42"))
		var e *client.Error
		if status != nil || !errors.Is(err, want) || !errors.As(err, &e) || e.Op != "run" || e.ID != "order-42" || len(bus.requests) != 1 {
			t.Errorf("%s: %+v, %v after %d requests", code, status, err, len(bus.requests))
		}
	}
}

// TestRunSaysWhereTheSagaStands: if the caller's context ends, Run returns the saga's last known
// state.
func TestRunSaysWhereTheSagaStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: held}
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		status, err := client.New(bus).Run(ctx, checkout, 1, client.ID("order-42"))
		if !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || status == nil || status.Phase != contract.PhaseRunning {
			t.Errorf("Run: %+v, %v", status, err)
		}
	})
}

// TestRunsTakeTurns: runs above the limit first start their sagas and then wait, with separate
// requests.
func TestRunsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[string]int{}
		gate := make(chan struct{})
		bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
			method := strings.TrimPrefix(r.Subject, "saga.api.")
			mu.Lock()
			asked[method]++
			mu.Unlock()
			if method == "start" {
				return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseRunning})
			}
			<-gate
			return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseCompleted})
		}}
		c := client.New(bus, client.Concurrency(2))
		var callers sync.WaitGroup
		var ended atomic.Int64
		run := func() {
			if status, err := c.Run(t.Context(), checkout, 1); err != nil || status.Phase != contract.PhaseCompleted {
				t.Errorf("Run: %+v, %v", status, err)
			}
			ended.Add(1)
		}
		for range 20 {
			callers.Go(run)
		}
		synctest.Wait()
		mu.Lock()
		if asked["run"] != 16 || asked["start"] != 4 || asked["wait"] != 4 {
			t.Errorf("with 20 under way it asked %v, want 16 runs, and 4 starts that wait", asked)
		}
		mu.Unlock()
		close(gate)
		callers.Wait()
		run() // the slots are free again
		if asked["run"] != 17 || ended.Load() != 21 {
			t.Errorf("afterwards it asked %v, and %d ended", asked, ended.Load())
		}
	})
}
