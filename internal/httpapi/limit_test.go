package httpapi_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/httpapi"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

// by returns a request in a caller's name.
func by[T any](caller string, message *T) *connect.Request[T] {
	r := connect.NewRequest(message)
	r.Header().Set(whoHeader, caller)
	return r
}

// holding holds requests open until they are released.
type holding struct {
	t     *testing.T
	c     apiv1connect.CoordinatorServiceClient
	letGo []context.CancelFunc
}

// watch opens a stream, and returns the error if it is refused.
func (h *holding) watch(caller string) error {
	ctx, cancel := context.WithCancel(h.t.Context())
	stream, err := h.c.Watch(ctx, by(caller, &apiv1.WatchRequest{OnlyChanges: true}))
	if err == nil && !stream.Receive() {
		err = stream.Err()
	}
	if err != nil {
		cancel()
		return err
	}
	h.letGo = append(h.letGo, cancel)
	return nil
}

// wait sends a request that waits, and returns the error if it is refused.
func (h *holding) wait(caller string) error {
	return h.hold(func(ctx context.Context) error {
		_, err := h.c.Wait(ctx, by(caller, &apiv1.WaitRequest{Id: "one"}))
		return err
	})
}

// run sends a request that starts a saga and waits for its end.
func (h *holding) run(caller string) error {
	return h.hold(func(ctx context.Context) error {
		_, err := h.c.Run(ctx, by(caller, &apiv1.RunRequest{Id: "one", Definition: &apiv1.DefinitionRef{Name: "a"}, Timeout: durationpb.New(time.Minute)}))
		return err
	})
}

func (h *holding) hold(ask func(context.Context) error) error {
	ctx, cancel := context.WithCancel(h.t.Context())
	h.letGo = append(h.letGo, cancel)
	answered := make(chan error, 1)
	go func() { answered <- ask(ctx) }()
	synctest.Wait()
	select {
	case err := <-answered:
		return err
	default:
		return nil
	}
}

// TestLimitsPerCaller checks that a caller may open the allowed number of streams and waits, and
// all callers together ten times as many. A released slot can be used again (I10, I13).
func TestLimitsPerCaller(t *testing.T) {
	for name, ask := range map[string]func(*holding, string) error{"max-streams": (*holding).watch, "max-waits": (*holding).wait, "max-waits of runs": (*holding).run} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limit, _, _ := strings.Cut(name, " ")
				p, ended := served(t, httpapi.Config{Coordinator: &slow{takes: time.Hour}, MaxStreams: 2, MaxWaits: 2})
				h := &holding{t: t, c: p.callers(t)["gRPC"]}
				refused := func(caller, words string) {
					t.Helper()
					err := ask(h, caller)
					if err == nil {
						t.Fatalf("%s is let in, want that %s refuses", caller, limit)
					}
					code, why := refusal(t, err)
					if code != connect.CodeResourceExhausted || why.RetryAfter.AsDuration() <= 0 || !strings.Contains(err.Error(), limit) || !strings.Contains(err.Error(), words) {
						t.Fatalf("%s: %v, again in %s; want that %s refuses and says %q", caller, err, why.RetryAfter.AsDuration(), limit, words)
					}
				}
				for caller := range strings.SplitSeq("abcdefghij", "") {
					for range 2 {
						if err := ask(h, caller); err != nil {
							t.Fatalf("%s: %v", caller, err)
						}
					}
					if caller != "j" {
						refused(caller, "one caller")
					}
				}
				refused("k", "ten times")
				for len(ended) > 0 {
					<-ended
				}
				h.letGo[0]()
				<-ended
				synctest.Wait()
				refused("b", "one caller")
				if err := ask(h, "k"); err != nil {
					t.Errorf("with room again: %v", err)
				}
				for _, cancel := range h.letGo {
					cancel()
				}
			})
		})
	}
}

// TestCallersOfTheAPI checks that the coordinator gets the caller of each request.
func TestCallersOfTheAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked string
		p, _ := served(t, httpapi.Config{Coordinator: &slow{refuses: func(_, caller string) error { asked = caller; return nil }}})
		for protocol, c := range p.callers(t) {
			if _, err := c.Get(t.Context(), by("ada", &apiv1.GetRequest{Id: "one"})); err != nil || asked != "token/ada" {
				t.Errorf("%s: %q asks, %v", protocol, asked, err)
			}
		}
	})
}

// TestBulkWaitsForItsTurn checks that a bulk operation in progress continues when slots become
// free. One that has not begun is refused.
func TestBulkWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := &api.Error{Code: api.CodeResourceExhausted, Reason: "MaxBulk", Refusal: api.Refusal{RetryAfter: api.For(time.Second)}}
		asked := 0
		coordinator := &slow{pages: 2}
		coordinator.refuses = func(string, string) error {
			if asked++; asked > 1 && asked < 20 {
				return busy
			}
			return nil
		}
		p, _ := served(t, httpapi.Config{Coordinator: coordinator})
		c := p.callers(t)["connect over HTTP/1"]
		decide := func() (pages int, err error) {
			t.Helper()
			stream, err := c.OperateAll(t.Context(), by("ada", &apiv1.OperateAllRequest{Filter: &apiv1.Filter{Open: true}, Decision: &apiv1.Decision{Operation: "cancel", By: "a", Reason: "b"}}))
			if err != nil {
				return 0, err
			}
			for stream.Receive() {
				pages++
			}
			_ = stream.Close()
			return pages, stream.Err()
		}
		if pages, err := decide(); pages != 2 || err != nil {
			t.Errorf("one that has begun: %d pages, %v", pages, err)
		}
		asked = 1
		if pages, err := decide(); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("one that has not: %d pages, %v", pages, err)
		}
	})
}
