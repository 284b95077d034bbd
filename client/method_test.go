package client_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// silentOnce does not answer the first request.
func silentOnce() *fakeBus {
	return &fakeBus{answer: func(ctx context.Context, n int, _ *transport.Envelope) (*transport.Envelope, error) {
		if n == 1 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return reply(struct{}{})
	}}
}

// TestDoKnowsEveryRequest: Do sends every request of the contract that is answered once, except
// Start and Run. It repeats those without side effects.
func TestDoKnowsEveryRequest(t *testing.T) {
	methods := apiv1.File_amends_api_v1_api_proto.Services().ByName("CoordinatorService").Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		method := kebab(string(m.Name()))
		if m.IsStreamingServer() || method == api.MethodStart || method == api.MethodRun {
			continue
		}
		repeats := m.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
		switch method {
		case api.MethodWait, api.MethodPoll, api.MethodRegisterDefinition:
			repeats = true
		}
		synctest.Test(t, func(t *testing.T) {
			bus := silentOnce()
			request, response := client.TypesOf(method)
			err := client.New(bus).Request(t.Context(), method, reflect.New(request).Interface(), reflect.New(response).Interface())
			sentOnce := errors.Is(err, client.ErrUnavailable) && len(bus.requests) == 1
			if bus.requests[0].Subject != "saga.api."+method || repeats && err != nil || !repeats && !sentOnce {
				t.Errorf("%s: %v after %d requests on %s", method, err, len(bus.requests), bus.requests[0].Subject)
			}
		})
	}
	if methods.Len() < 20 {
		t.Errorf("there are %d methods", methods.Len())
	}
}

func kebab(name string) string {
	var out strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			out.WriteByte('-')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// TestDoWaitsForHeldRequests: the coordinator may hold a request until its timeout.
func TestDoWaitsForHeldRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for timeout, want := range map[*api.Duration]time.Duration{nil: 10 * time.Second, api.For(0): 0, api.For(time.Hour): time.Minute, api.For(-time.Hour): 0} {
			bus := &fakeBus{answer: func(context.Context, int, *transport.Envelope) (*transport.Envelope, error) {
				return reply(api.PollResponse{Position: "7"})
			}}
			sent := time.Now()
			got, err := client.Do[api.PollResponse](t.Context(), client.New(bus), api.MethodPoll, &api.PollRequest{ID: "a", Timeout: timeout})
			if err != nil || got.Position != "7" {
				t.Fatalf("%v: %+v, %v", timeout, got, err)
			}
			if held := bus.requests[0].Expires.Sub(sent); held != want+client.DefaultRequestTimeout {
				t.Errorf("timeout %v: the request expires after %s", timeout, held)
			}
		}
	})
}

// TestDoWaitsForWork: the coordinator may work on a request about many objects for a minute.
func TestDoWaitsForWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{answer: func(ctx context.Context, _ int, _ *transport.Envelope) (*transport.Envelope, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(50 * time.Second): // virtual
				return reply(api.ReplayDeadLettersResponse{Replayed: []uint64{7}})
			}
		}}
		got, err := client.Do[api.ReplayDeadLettersResponse](t.Context(), client.New(bus), api.MethodReplayDeadLetters, &api.ReplayDeadLettersRequest{Sequences: []uint64{7}})
		if err != nil || len(got.Replayed) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestDoRefusesWhatItCannotSend(t *testing.T) {
	bus := silentOnce()
	c := client.New(bus)
	for _, method := range []string{api.MethodStart, api.MethodRun, api.MethodSubscribe, "no.such", ""} {
		if _, err := client.Do[struct{}](t.Context(), c, method, &struct{}{}); !errors.Is(err, client.ErrInvalid) {
			t.Errorf("%q: %v", method, err)
		}
	}
	if _, err := client.Do[api.GetResponse](t.Context(), c, api.MethodGet, (*api.GetRequest)(nil)); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("nil: %v", err)
	}
	if _, err := client.Do[api.Overview](t.Context(), c, api.MethodGetOverview, &api.GetOverviewRequest{}); !errors.Is(err, client.ErrInvalid) ||
		!strings.Contains(err.Error(), "this method has api.GetOverviewRequest and api.GetOverviewResponse") {
		t.Errorf("a part of the response: %v", err)
	}
	if _, err := client.Do[api.WaitResponse](t.Context(), c, api.MethodWait, &struct{ ID string }{"a"}); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("another request: %v", err)
	}
	if len(bus.requests) != 0 {
		t.Errorf("%d requests were sent", len(bus.requests))
	}
}
