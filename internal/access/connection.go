package access

import (
	"net"
	"sync"

	"github.com/amends-dev/amends/internal/quota"
)

// MaxConnections is how many connections may be open at once at the HTTP address (I10).
const MaxConnections = 4096

// Limit returns a listener that has at most so many connections open. An address, an IPv6
// network of 64 bits counting as one, may have as many as the others leave; one more is
// closed at once.
func Limit(l net.Listener, most int) net.Listener { return &limited{l, quota.New(most, 0)} }

type limited struct {
	net.Listener

	quota *quota.Quota
}

// Accept waits for the next connection that may be opened.
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
		_ = c.Close() // nothing was said on it
	}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn

	end func()
}

func (c *counted) Close() error {
	defer c.end()
	return c.Conn.Close()
}

// CloseWrite ends what is sent and goes on receiving: a server whose client still sends
// would otherwise have its last answer thrown away.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
