package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/internal/httpapi"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

// watching reads a stream under test.
type watching struct {
	t      *testing.T
	stream *connect.ServerStreamForClient[apiv1.WatchResponse]
	missed int64
}

func (w *fixture) watch(t *testing.T, c apiv1connect.CoordinatorServiceClient, r *apiv1.WatchRequest) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	stream, err := c.Watch(ctx, connect.NewRequest(r))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = stream.Close() })
	return &watching{t: t, stream: stream}
}

// next returns the next message that is not a keep-alive.
func (w *watching) next() *apiv1.WatchResponse {
	w.t.Helper()
	for w.stream.Receive() {
		m := w.stream.Msg()
		w.missed += m.Missed
		if m.Saga != nil || m.CaughtUp {
			return m
		}
	}
	w.t.Fatalf("the stream ended: %v", w.stream.Err())
	return nil
}

// until reads until a saga is in the given phase, and returns the revisions that it received.
func (w *watching) until(id, phase string) []string {
	w.t.Helper()
	var seen []string
	for {
		m := w.next()
		if m.Saga.GetId() != id {
			continue
		}
		seen = append(seen, fmt.Sprintf("%d", m.Saga.Revision))
		if m.Saga.Phase == phase {
			return seen
		}
	}
}

// TestWatchOneSaga follows a saga to its end, over each protocol.
func TestWatchOneSaga(t *testing.T) {
	w := newFixture(t)
	h2c := &http.Transport{Protocols: new(http.Protocols)}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(h2c.CloseIdleConnections)
	for name, c := range map[string]apiv1connect.CoordinatorServiceClient{
		"connect": w.CoordinatorServiceClient,
		"json":    apiv1connect.NewCoordinatorServiceClient(w.http, w.HTTP, httpapi.JSON()),
		"grpc":    apiv1connect.NewCoordinatorServiceClient(&http.Client{Transport: h2c}, w.HTTP, connect.WithGRPC()),
	} {
		t.Run(name, func(t *testing.T) {
			hold := make(chan struct{})
			w.when(func(action string) error {
				if action == "ship" {
					<-hold
				}
				return nil
			})
			if _, err := w.Start(within(t), order(name)); err != nil {
				t.Fatal(err)
			}
			s := w.watch(t, c, &apiv1.WatchRequest{Id: name})
			if m := s.next(); m.Saga.GetId() != name || len(m.Saga.Steps) != 2 || m.Saga.Phase != "running" {
				t.Errorf("it begins with %v", m)
			}
			for !s.next().CaughtUp {
				t.Error("more than one saga at the beginning")
			}
			close(hold)
			if seen := s.until(name, "completed"); seen[len(seen)-1] != "3" {
				t.Errorf("it goes through revisions %v", seen)
			}
		})
	}
}

// TestWatchAFilter checks that sagas that begin to match are sent, and that sagas that no longer
// match are removed.
func TestWatchAFilter(t *testing.T) {
	w := newFixture(t)
	w.park(t, "old")
	w.when(func(string) error { return nil })
	w.start(t, "done")
	parked := w.watch(t, w, &apiv1.WatchRequest{Filter: &apiv1.Filter{Phases: []string{"parked"}, Open: true}})
	if m := parked.next(); m.Saga.GetId() != "old" || len(m.Saga.Steps) != 0 {
		t.Errorf("it begins with %v", m)
	}
	if m := parked.next(); !m.CaughtUp {
		t.Errorf("behind the only one comes %v", m)
	}
	changes := w.watch(t, w, &apiv1.WatchRequest{OnlyChanges: true})
	if m := changes.next(); !m.CaughtUp {
		t.Errorf("only changes are wanted, and it begins with %v", m)
	}
	w.park(t, "new")
	if m := parked.next(); m.Saga.GetId() != "new" || m.Left || m.Saga.Phase != "parked" {
		t.Errorf("then comes %v", m)
	}
	if _, err := w.Operate(within(t), connect.NewRequest(&apiv1.OperateRequest{Id: "old", Decision: &apiv1.Decision{Operation: "abandon", By: "kim", Reason: "enough"}})); err != nil {
		t.Fatal(err)
	}
	m := parked.next()
	for m.Saga.GetId() == "new" && m.Saga.Phase == "parked" { // sent twice: another change was reported first
		m = parked.next()
	}
	if m.Saga.GetId() != "old" || !m.Left || m.Saga.Ended == nil {
		t.Errorf("what was abandoned: %v", m)
	}
	changes.until("new", "parked")
	changes.until("old", "parked")
}

// TestASlowWatcherIsTold checks a client that does not read while thousands of changes happen. It
// gets the last state of every saga, and is told that changes were missed.
func TestASlowWatcherIsTold(t *testing.T) {
	w := newFixture(t)
	w.when(func(string) error { return nil })
	slow := w.watch(t, w, &apiv1.WatchRequest{OnlyChanges: true, Filter: &apiv1.Filter{IdPrefix: "burst-"}})
	if m := slow.next(); !m.CaughtUp {
		t.Fatalf("it begins with %v", m)
	}
	const sagas = 60
	for i := range sagas {
		if _, err := w.Start(within(t), order(fmt.Sprintf("burst-%02d", i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range sagas {
		w.wait(t, fmt.Sprintf("burst-%02d", i))
	}
	// A message has the saga's current state, which may be newer than the reported change. So every
	// change is either reported or counted as missed, and the last state of each saga is its end.
	told, last := int64(0), map[string]string{}
	for told+slow.missed < 3*sagas {
		m := slow.next()
		told++
		last[m.Saga.Id] = m.Saga.Phase
	}
	if len(last) != sagas || strings.Contains(fmt.Sprint(last), "running") {
		t.Errorf("of %d sagas it knows %v", sagas, last)
	}
}

// TestWatchRefuses checks that invalid watch requests are refused.
func TestWatchRefuses(t *testing.T) {
	w := newFixture(t)
	for want, r := range map[connect.Code]*apiv1.WatchRequest{
		connect.CodeNotFound:        {Id: "nobody"},
		connect.CodeInvalidArgument: {Id: "x", Filter: &apiv1.Filter{Open: true}},
	} {
		stream, err := w.Watch(within(t), connect.NewRequest(r))
		if err != nil {
			t.Fatal(err)
		}
		if stream.Receive() || connect.CodeOf(stream.Err()) != want {
			t.Errorf("%v: %v, %v; want %v", r, stream.Msg(), stream.Err(), want)
		}
		_ = stream.Close()
	}
}

// TestWatchersAreToldOfTheEnd checks that an open stream does not keep the coordinator from
// stopping, and that its reader is told to reconnect.
func TestWatchersAreToldOfTheEnd(t *testing.T) {
	ctx := within(t)
	var stream *connect.ServerStreamForClient[apiv1.WatchResponse]
	t.Run("coordinator", func(t *testing.T) {
		w := newFixture(t)
		var err error
		if stream, err = w.Watch(ctx, connect.NewRequest(&apiv1.WatchRequest{Filter: &apiv1.Filter{Open: true}})); err != nil {
			t.Fatal(err)
		}
		if !stream.Receive() || !stream.Msg().CaughtUp {
			t.Fatalf("it begins with %v, %v", stream.Msg(), stream.Err())
		}
	})
	for stream.Receive() {
		continue
	}
	// If the server waited for the stream and then closed the connection, the stream would end with
	// a connection error.
	if err := stream.Err(); connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "is stopping") {
		t.Errorf("the stream ends with %v", stream.Err())
	}
	_ = stream.Close()
}
