package access

import (
	"net"
	"sync"

	"github.com/amends-dev/amends/internal/quota"
)

// MaxConnections is the maximum number of open connections to the HTTP address (I10).
const MaxConnections = 4096

// Limit returns a listener with at most the given number of open connections. One network (an IPv4
// address or an IPv6 /64 network) may use at most as many connections as remain free. Further
// connections are closed at once.
func Limit(l net.Listener, most int) net.Listener { return &limited{l, quota.New(most, 0)} }

type limited struct {
	net.Listener

	quota *quota.Quota
}

// Accept returns the next connection that is within the limits.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := network(c.RemoteAddr().String())
		if l.quota.Take(from) == nil {
			return &counted{Conn: c, end: sync.OnceFunc(func() { l.quota.Give(from) })}, nil
		}
		_ = c.Close() // before anything is sent
	}
}

// counted is a connection that counts against the limit until it is closed.
type counted struct {
	net.Conn

	end func()
}

func (c *counted) Close() error {
	defer c.end()
	return c.Conn.Close()
}

// CloseWrite closes the connection for writing, but continues to receive. Otherwise a client that
// is still sending would lose the last response.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
