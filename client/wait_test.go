package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// hold returns how long the coordinator may hold a request: until a run expires, and for the timeout
// of a wait.
func hold(r *transport.Envelope) time.Duration {
	if strings.HasSuffix(r.Subject, ".run") {
		return time.Until(r.Expires)
	}
	var request api.WaitRequest
	if err := json.Unmarshal(r.Data, &request); err != nil || request.Timeout == nil {
		panic(fmt.Sprintf("request %+v: %v", r, err))
	}
	return request.Timeout.Or(0)
}

// held answers like a coordinator whose saga has not ended, once the request has been held as long
// as it may be.
func held(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
	time.Sleep(hold(r)) // virtual
	return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseRunning})
}

func TestWaitOutlivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{}
		bus.answer = func(ctx context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
			switch n {
			case 1:
				return held(ctx, n, r)
			case 2: // the coordinator crashes with the request
				<-ctx.Done()
				return nil, ctx.Err()
			case 3, 4:
				return nil, transport.ErrNoResponders
			}
			return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseCompensated, Reason: "card declined"})
		}
		status, err := client.New(bus).Wait(t.Context(), "order-42")
		if err != nil {
			t.Fatal(err)
		}
		if status.Phase != contract.PhaseCompensated || len(bus.requests) != 5 {
			t.Errorf("status %+v after %d requests", status, len(bus.requests))
		}
	})
}

// TestWaitSaysWhereTheSagaStands: the request is held until shortly before the caller's context
// ends. Then Wait returns the saga's state.
func TestWaitSaysWhereTheSagaStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: held}
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		status, err := client.New(bus).Wait(ctx, "order-42")
		if !errors.Is(err, context.DeadlineExceeded) || status == nil || status.Phase != contract.PhaseRunning {
			t.Errorf("status %+v, error %v", status, err)
		}
	})
}

// TestWaitAsksLessAndLess: the longer a caller waits, the longer its requests are held, up to a
// limit.
func TestWaitAsksLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var holds []time.Duration
		bus := &fakeBus{answer: func(ctx context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
			holds = append(holds, hold(r))
			if want := fmt.Sprintf(`{"id":"order-42","timeout":"%ds","brief":true}`, hold(r)/time.Second); string(r.Data) != want {
				t.Errorf("asked with %s, want %s", r.Data, want)
			}
			if left := time.Until(r.Expires); left != hold(r)+5*time.Second {
				t.Errorf("the reply is awaited for %s, want 5s longer than %s", left, hold(r))
			}
			if n == 7 {
				return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseCompleted})
			}
			return held(ctx, n, r)
		}}
		if _, err := client.New(bus).Wait(t.Context(), "order-42"); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 40 * time.Second, 40 * time.Second}
		if !slices.Equal(holds, want) {
			t.Errorf("held %v, want %v", holds, want)
		}
	})
}

// TestWaitIsInterrupted: if the caller cancels, the error does not blame the coordinator.
func TestWaitIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	bus := &fakeBus{answer: func(ctx context.Context, _ int, _ *transport.Envelope) (*transport.Envelope, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	_, err := client.New(bus).Wait(ctx, "order-42")
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "cancelled before a reply arrived") {
		t.Errorf("error is %v", err)
	}
}

func TestWaitReturnsWhenParked(t *testing.T) {
	bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseParked, Legal: []contract.LegalOperation{{Operation: contract.OperationRetry}}})
	}}
	status, err := client.New(bus).Wait(t.Context(), "order-42")
	if err != nil || status.Phase != contract.PhaseParked {
		t.Errorf("Wait: %+v, %v", status, err)
	}
}

// TestWaitDoesNotSpin: a coordinator that holds the maximum number of requests answers at once. Wait
// must not send requests in a busy loop.
func TestWaitDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
			return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseRunning})
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		status, err := client.New(bus).Wait(ctx, "order-42")
		if !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		if status == nil || status.Phase != contract.PhaseRunning {
			t.Errorf("status is %+v, want the last known one", status)
		}
		if n := len(bus.requests); n < 40 || n > 400 {
			t.Errorf("asked %d times in a minute", n)
		}
	})
}

// TestReadsWaitForAnOverloadedCoordinator: reads are retried. Starts are not, so that their callers
// slow down (TestRefusalsAreConditions).
func TestReadsWaitForAnOverloadedCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(_ context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
			if n < 4 {
				return &transport.Envelope{Code: string(api.CodeResourceExhausted), Reason: "too many reading requests at once", RetryAfter: time.Second}, nil
			}
			return replySaga(api.Saga{ID: about(r), Phase: contract.PhaseCompleted})
		}}
		status, err := client.New(bus).Wait(t.Context(), "order-42")
		if err != nil || status.Phase != contract.PhaseCompleted || len(bus.requests) != 4 {
			t.Errorf("Wait: %+v, %v after %d requests", status, err, len(bus.requests))
		}
	})
}

// TestPermanentRefusalIsNotRepeated checks that a limit which waiting does not change, such as that
// of a reply's size, is returned at once. The error has the details of the refusal.
func TestPermanentRefusalIsNotRepeated(t *testing.T) {
	bus := &fakeBus{answer: func(context.Context, int, *transport.Envelope) (*transport.Envelope, error) {
		return &transport.Envelope{
			Code: string(api.CodeResourceExhausted), Reason: "the reply is too large", Data: []byte(`{"violations":[{"field":"limit","problem":"ask for less"}],"revision":7}`),
		}, nil
	}}
	_, err := client.New(bus).Definitions(t.Context())
	var refused *client.Error
	if !errors.As(err, &refused) || !errors.Is(err, client.ErrOverloaded) || len(bus.requests) != 1 {
		t.Fatalf("%v after %d requests, want it refused after one", err, len(bus.requests))
	}
	if want := []api.Violation{{Field: "limit", Problem: "ask for less"}}; !slices.Equal(refused.Violations, want) || refused.Revision != 7 {
		t.Errorf("the violations are %+v and the revision is %d", refused.Violations, refused.Revision)
	}
}

func TestHistoryReadsEveryPart(t *testing.T) {
	bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		switch string(r.Data) {
		case `{"id":"order-42"}`:
			return reply(api.HistoryResponse{Events: []api.Event{{Revision: 1}, {Revision: 2}}, NextRevision: 3})
		case `{"id":"order-42","fromRevision":3}`:
			return reply(api.HistoryResponse{Events: []api.Event{{Revision: 3}}})
		}
		return refuse(api.CodeInvalidArgument, string(r.Data))
	}}
	events, err := client.New(bus).History(t.Context(), "order-42")
	if err != nil || len(events) != 3 || events[2].Revision != 3 {
		t.Errorf("History: %+v, %v", events, err)
	}
}
