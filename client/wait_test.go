package client_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

func TestWaitOutlivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{}
		bus.answer = func(ctx context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
			switch n {
			case 1: // held as long as it may be
				time.Sleep(time.Until(r.Expires))
				return reply(transport.Status{ID: r.Saga, Phase: contract.Running})
			case 2: // the coordinator dies with the request
				<-ctx.Done()
				return nil, ctx.Err()
			case 3, 4:
				return nil, transport.ErrNoResponders
			}
			return reply(transport.Status{ID: r.Saga, Phase: contract.Compensated, Reason: "card declined"})
		}
		status, err := client.New(bus).Wait(t.Context(), "order-42")
		if err != nil {
			t.Fatal(err)
		}
		if status.Phase != contract.Compensated || len(bus.requests) != 5 {
			t.Errorf("status %+v after %d requests", status, len(bus.requests))
		}
	})
}

// TestWaitSaysWhereTheSagaStands when the caller's patience ends before the
// coordinator's: the request is not held beyond it.
func TestWaitSaysWhereTheSagaStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
			time.Sleep(time.Until(r.Expires)) // held as long as it may be; the bubble's clock, which costs no time
			return reply(transport.Status{ID: r.Saga, Phase: contract.Running})
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		status, err := client.New(bus).Wait(ctx, "order-42")
		if !errors.Is(err, context.DeadlineExceeded) || status == nil || status.Phase != contract.Running {
			t.Errorf("status %+v, error %v", status, err)
		}
	})
}

// TestWaitAsksLessAndLess: who waits for long is held for long, within bounds.
func TestWaitAsksLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held []time.Duration
		bus := &fakeBus{answer: func(_ context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
			held = append(held, time.Until(r.Expires))
			if string(r.Data) != `{"brief":true}` {
				t.Errorf("asked with %q", r.Data)
			}
			time.Sleep(time.Until(r.Expires)) // held as long as it may be; the bubble's clock, which costs no time
			phase := contract.Running
			if n == 7 {
				phase = contract.Completed
			}
			return reply(transport.Status{ID: r.Saga, Phase: phase})
		}}
		if _, err := client.New(bus).Wait(t.Context(), "order-42"); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 40 * time.Second, 40 * time.Second}
		if !slices.Equal(held, want) {
			t.Errorf("held %v, want %v", held, want)
		}
	})
}

// TestWaitIsInterrupted by its caller, and does not blame the coordinator.
func TestWaitIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	bus := &fakeBus{answer: func(ctx context.Context, _ int, _ *transport.Envelope) (*transport.Envelope, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	_, err := client.New(bus).Wait(ctx, "order-42")
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopped before an answer came") {
		t.Errorf("error is %v", err)
	}
}

func TestWaitReturnsWhenParked(t *testing.T) {
	bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		return reply(transport.Status{ID: r.Saga, Phase: contract.Parked, Legal: []string{"retry"}})
	}}
	status, err := client.New(bus).Wait(t.Context(), "order-42")
	if err != nil || status.Phase != contract.Parked {
		t.Errorf("Wait: %+v, %v", status, err)
	}
}

// TestWaitDoesNotSpin: a coordinator whose clock is ahead sees every request as
// expired and answers at once.
func TestWaitDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
			return reply(transport.Status{ID: r.Saga, Phase: contract.Running})
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		status, err := client.New(bus).Wait(ctx, "order-42")
		if !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		if status == nil || status.Phase != contract.Running {
			t.Errorf("status is %+v, want the last known one", status)
		}
		if n := len(bus.requests); n < 40 || n > 400 {
			t.Errorf("asked %d times in a minute", n)
		}
	})
}

// TestReadsWaitForAnOverloadedCoordinator, starts do not: their caller slows
// down (TestRefusalsAreConditions).
func TestReadsWaitForAnOverloadedCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(_ context.Context, n int, r *transport.Envelope) (*transport.Envelope, error) {
			if n < 4 {
				return refuse(transport.CodeResourceExhausted, "too many reading requests at once")
			}
			return reply(transport.Status{ID: r.Saga, Phase: contract.Completed})
		}}
		status, err := client.New(bus).Wait(t.Context(), "order-42")
		if err != nil || status.Phase != contract.Completed || len(bus.requests) != 4 {
			t.Errorf("Wait: %+v, %v after %d requests", status, err, len(bus.requests))
		}
	})
}

func TestHistoryReadsEveryPart(t *testing.T) {
	bus := &fakeBus{answer: func(_ context.Context, _ int, r *transport.Envelope) (*transport.Envelope, error) {
		switch string(r.Data) {
		case `{}`:
			return reply(transport.HistoryReply{Events: []transport.HistoryEvent{{Revision: 1}, {Revision: 2}}, Next: 3})
		case `{"from":3}`:
			return reply(transport.HistoryReply{Events: []transport.HistoryEvent{{Revision: 3}}})
		}
		return refuse(transport.CodeInvalidArgument, string(r.Data))
	}}
	events, err := client.New(bus).History(t.Context(), "order-42")
	if err != nil || len(events) != 3 || events[2].Revision != 3 {
		t.Errorf("History: %+v, %v", events, err)
	}
}
