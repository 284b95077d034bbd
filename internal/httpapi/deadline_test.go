package httpapi_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/internal/httpapi"
	"github.com/amends-dev/amends/internal/observe"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/transport"
)

// slow is a coordinator that answers slowly.
type slow struct {
	pages   int                               // number of pages of a bulk operation
	takes   time.Duration                     // time for each page, and for a wait
	reason  string                            // reason of the saga in its answers
	refuses func(method, caller string) error // nil means refuses nothing
}

func (s *slow) Serve(ctx context.Context, method string, envelope *transport.Envelope, request any) (any, error) {
	if s.refuses != nil {
		if refused := s.refuses(method, envelope.Caller); refused != nil {
			return nil, refused
		}
	}
	var answer any
	took := s.takes
	switch request := request.(type) {
	case *api.PollRequest:
		took = time.Duration(*request.Timeout)
		answer = &api.PollResponse{Sagas: []api.ChangedSaga{{Saga: &api.Saga{ID: "one", Reason: s.reason}}}}
	case *api.OperatePageRequest:
		s.pages--
		next := &api.OperatePageResponse{Matched: 1, Done: 1}
		if s.pages > 0 {
			next.NextCursor = "more"
		}
		answer = next
	case *api.GetRequest:
		answer = &api.GetResponse{Saga: &api.Saga{ID: request.ID}}
	case *api.WaitRequest:
		answer = &api.WaitResponse{Saga: &api.Saga{ID: request.ID}}
	case *api.RunRequest:
		answer = &api.RunResponse{Saga: &api.Saga{ID: request.ID}}
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
	}
	return answer, nil
}

// pipes is a listener whose connections have no buffers.
type pipes struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.connections <- theirs
	return ours, nil
}

// whoHeader is the header that names the caller of a request.
const whoHeader = "Who"

// served runs the API in virtual time, on a server with its usual limits. ended receives a value
// after each request.
func served(t *testing.T, c httpapi.Config) (p *pipes, ended chan string) {
	t.Helper()
	mux := http.NewServeMux()
	httpapi.Mount(mux, c)
	ended = make(chan string, 1000)
	server := observe.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := r.Header.Get(whoHeader); name != "" {
			r = r.WithContext(access.With(r.Context(), access.Caller{Name: name, Role: access.RoleAdmin, Via: access.ViaToken}))
		}
		mux.ServeHTTP(w, r)
		ended <- r.URL.Path
	}))
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	p = &pipes{connections: make(chan net.Conn), closed: make(chan struct{})}
	go func() { _ = server.Serve(p) }()
	t.Cleanup(func() {
		_ = server.Close()
		time.Sleep(time.Minute) // for the remaining goroutines of the server and the client
	})
	return p, ended
}

// callers returns a client for each protocol.
func (p *pipes) callers(t *testing.T) map[string]apiv1connect.CoordinatorServiceClient {
	t.Helper()
	one, two := &http.Transport{DialContext: p.dial}, &http.Transport{DialContext: p.dial, Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(func() { one.CloseIdleConnections(); two.CloseIdleConnections() })
	return map[string]apiv1connect.CoordinatorServiceClient{
		"connect over HTTP/1": apiv1connect.NewCoordinatorServiceClient(&http.Client{Transport: one}, "http://amends"),
		"connect over HTTP/2": apiv1connect.NewCoordinatorServiceClient(&http.Client{Transport: two}, "http://amends"),
		"gRPC":                apiv1connect.NewCoordinatorServiceClient(&http.Client{Transport: two}, "http://amends", connect.WithGRPC()),
	}
}

// TestWriteDeadlines checks that the server's timeouts for slow clients end neither slow requests
// nor streams.
func TestWriteDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		coordinator := &slow{takes: 5 * time.Minute}
		p, _ := served(t, httpapi.Config{Coordinator: coordinator})
		for name, c := range p.callers(t) {
			began := time.Now()
			if _, err := c.Wait(t.Context(), connect.NewRequest(&apiv1.WaitRequest{Id: "one"})); err != nil {
				t.Errorf("%s: a wait: %v", name, err)
			}
			if took := time.Since(began); took != coordinator.takes {
				t.Errorf("%s: a wait took %s, want %s", name, took, coordinator.takes)
			}
			coordinator.pages = 4
			all, err := c.OperateAll(t.Context(), connect.NewRequest(&apiv1.OperateAllRequest{Filter: &apiv1.Filter{Open: true}, Decision: &apiv1.Decision{Operation: "cancel", By: "a", Reason: "b"}}))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			n := 0
			for all.Receive() {
				n++
			}
			if n != 4 || all.Err() != nil {
				t.Errorf("%s: %d pages, then %v", name, n, all.Err())
			}
			_ = all.Close()
			ctx, cancel := context.WithCancel(t.Context())
			watch, err := c.Watch(ctx, connect.NewRequest(&apiv1.WatchRequest{OnlyChanges: true}))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			began = time.Now()
			for time.Since(began) < time.Hour {
				if !watch.Receive() {
					t.Errorf("%s: a watch ends after %s: %v", name, time.Since(began), watch.Err())
					break
				}
			}
			cancel()
			_ = watch.Close()
		}
	})
}

// TestStalledReader checks that a stream is closed if its client reads nothing for a minute.
func TestStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ended := served(t, httpapi.Config{Coordinator: &slow{reason: strings.Repeat("x", 1000)}})
		began := time.Now()
		c, err := p.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		body := "\x00\x00\x00\x00\x02{}"
		if _, err := io.WriteString(c, "POST "+apiv1connect.CoordinatorServiceWatchProcedure+" HTTP/1.1\r\nHost: a\r\nContent-Type: application/connect+json\r\nContent-Length: 7\r\n\r\n"+body); err != nil {
			t.Fatal(err)
		}
		<-ended
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("it was given up after %s, want a minute after something was to be sent", took)
		}
		_ = c.Close()
	})
}
