package access_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/amends-dev/amends/internal/access"
)

// line is a connection from a given address.
type line struct {
	net.Conn

	from   string
	closed bool
}

func (l *line) RemoteAddr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", l.from)
	if err != nil {
		panic(err)
	}
	return a
}

func (l *line) Close() error { l.closed = true; return nil }

// lines is a listener with a queue of connections to accept.
type lines struct {
	net.Listener

	coming []*line
}

func (l *lines) Accept() (net.Conn, error) {
	if len(l.coming) == 0 {
		return nil, io.EOF
	}
	next := l.coming[0]
	l.coming = l.coming[1:]
	return next, nil
}

// TestConnections checks that an address has at most its share of the connections. A closed
// connection frees its slot exactly once (I10, I13).
func TestConnections(t *testing.T) {
	come := &lines{}
	l := access.Limit(come, 8)
	accept := func(from ...string) (open []net.Conn) {
		t.Helper()
		var all []*line
		for _, f := range from {
			all = append(all, &line{from: f})
		}
		come.coming = all
		for {
			c, err := l.Accept()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, c)
		}
		closed := 0
		for _, c := range all {
			if c.closed {
				closed++
			}
		}
		if closed+len(open) != len(from) {
			t.Errorf("of %d connections %d are open and %d closed", len(from), len(open), closed)
		}
		return open
	}
	hog := accept("192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.1:4", "192.0.2.1:5", "192.0.2.1:6")
	if len(hog) != 4 {
		t.Errorf("one address has %d of 8 connections, want half", len(hog))
	}
	if n := len(accept("192.0.2.2:1", "192.0.2.2:2")); n != 2 {
		t.Errorf("another has %d, want both", n)
	}
	if n := len(accept("[2001:db8::1]:1", "[2001:db8::2]:1")); n != 1 {
		t.Errorf("a network has %d of the last two, want one", n)
	}
	if n := len(accept("192.0.2.3:1", "192.0.2.3:2", "192.0.2.1:7")); n != 1 {
		t.Errorf("%d found room, want the last one", n)
	}
	for range 2 { // the server closes some connections twice
		for _, c := range hog {
			_ = c.Close()
		}
	}
	if n := len(accept("192.0.2.1:8", "192.0.2.1:9", "192.0.2.1:10")); n != 2 {
		t.Errorf("with four free again, one address has %d, want half", n)
	}
}
