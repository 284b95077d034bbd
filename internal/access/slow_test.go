package access_test

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/internal/observe"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

// pipes is a listener whose connections have no buffer: a write blocks until the other end reads.
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
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

// dial opens a connection.
func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.connections <- piped{theirs}
	return ours
}

// piped is the server's end.
type piped struct{ net.Conn }

func (piped) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000} }

// serving runs a guarded server in virtual time until the test ends.
func serving(t *testing.T, c access.Config, mount func(*http.ServeMux)) *pipes {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	a, err := access.New(c)
	if err != nil {
		t.Fatal(err)
	}
	mux := observe.Handler{Pprof: true}.Mux()
	a.Mount(mux)
	mount(mux)
	server := observe.Server(a.Guard(mux))
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	p := &pipes{connections: make(chan net.Conn), closed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(p) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		time.Sleep(time.Second) // the server waits before it closes a connection
	})
	return p
}

// until reads until the response is complete or the connection is closed. It returns the status, or
// 0 if there is no response, and the time taken.
func until(t *testing.T, c net.Conn) (status int, took time.Duration) {
	t.Helper()
	began := time.Now()
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, time.Since(began)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode, time.Since(began)
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

// TestSlowBodies checks that the server does not wait for a body that the route does not accept. It
// waits for other bodies only until the timeout, even if parts arrive (I10).
func TestSlowBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file, secret := tokens(t)
		p := serving(t, access.Config{Tokens: file}, func(mux *http.ServeMux) {
			mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "in") })
			mux.HandleFunc("/"+apiv1connect.CoordinatorServiceName+"/", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		})
		const multipart = "Content-Type: multipart/form-data; boundary=x\r\n"
		part := "--x\r\nContent-Disposition: form-data; name=\"next\"\r\n\r\n/"
		for _, tt := range []struct {
			method, path string
			within       time.Duration // 0 means at once
		}{
			{"GET", "/livez", 0}, {"GET", "/readyz", 0}, {"GET", "/healthz", 0}, {"GET", "/auth/login", 0}, {"POST", "/auth/logout", 0},
			{"GET", "/debug/pprof/heap?debug=1", 0}, {"GET", "/", 0}, {"GET", "/auth/whoami", 0}, {"POST", "/backup", 0},
			{"POST", start, observe.ReadLimit}, {"POST", "/auth/login", observe.ReadLimit},
		} {
			for key, length := range map[string]string{"": "Content-Length: 1000\r\n", "Authorization: Bearer " + secret + "\r\n": "Transfer-Encoding: chunked\r\n"} {
				for _, length := range []string{length, "Content-Length: 1073741824\r\n"} {
					c := p.dial()
					text := part
					if strings.HasPrefix(length, "Transfer") {
						text = "100\r\n" + part
					}
					go func() {
						_, _ = io.WriteString(c, tt.method+" "+tt.path+" HTTP/1.1\r\nHost: localhost\r\n"+multipart+key+length+"\r\n"+text)
					}()
					status, took := until(t, c)
					if took > tt.within || status < 200 || status < 400 && tt.method+tt.path == "POST/auth/login" {
						t.Errorf("%s %s, %q: %d after %s", tt.method, tt.path, length, status, took)
					}
					_ = c.Close()
				}
			}
		}
	})
}

// TestSlowClients checks that a client that does not send or receive is disconnected at the
// documented timeout.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		p := serving(t, access.Config{}, func(mux *http.ServeMux) {
			mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
				for {
					if _, err := w.Write(make([]byte, 32<<10)); err != nil {
						failed <- err
						return
					}
				}
			})
		})
		for what, tt := range map[string]struct {
			says string
			took time.Duration
		}{
			"says nothing":      {"", observe.HeaderLimit},
			"half its headers":  {"GET /livez HTTP/1.1\r\nHost: loc", observe.HeaderLimit},
			"takes nothing":     {"GET /openapi.yaml HTTP/1.1\r\nHost: localhost\r\n\r\n", observe.WriteLimit},
			"is done, and idle": {"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", observe.IdleLimit},
		} {
			c := p.dial()
			say(t, c, tt.says)
			if strings.Contains(tt.says, "livez HTTP/1.1\r\nHost: localhost") {
				if status, _ := until(t, c); status != http.StatusOK {
					t.Errorf("%s: %d", what, status)
				}
			}
			began := time.Now()
			if what == "takes nothing" {
				<-failed
			} else if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: got a response", what)
			}
			if took := time.Since(began); took != tt.took {
				t.Errorf("%s: disconnected after %s, want %s", what, took, tt.took)
			}
			_ = c.Close()
		}
	})
}

// TestLongAnswers checks that the limits for slow clients do not end long responses, such as
// backups.
func TestLongAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := serving(t, access.Config{}, func(mux *http.ServeMux) {
			mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour))
				select {
				case <-r.Context().Done():
					t.Error("the request was canceled")
				case <-time.After(20 * time.Minute):
				}
				_, _ = io.WriteString(w, "all")
			})
		})
		c := p.dial()
		say(t, c, "POST /backup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
		if status, took := until(t, c); status != http.StatusOK || took != 20*time.Minute {
			t.Errorf("a backup: %d after %s", status, took)
		}
		_ = c.Close()
	})
}
