package natstest

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// connectTimeout bounds a connection in the making, and all tries together.
const connectTimeout = time.Minute

// Connect is nats.Connect for a server that is there, on a machine that may be busy. A server
// sends its first PING two seconds after it has accepted a connection, and the client gives
// up one that is not made by then.
func Connect(url string, options ...nats.Option) (nc *nats.Conn, err error) {
	options = append([]nats.Option{nats.Timeout(connectTimeout)}, options...)
	for limit := time.Now().Add(connectTimeout); ; {
		nc, err = nats.Connect(url, options...)
		if err == nil || !strings.Contains(err.Error(), "expected 'PONG', got 'PING'") || time.Now().After(limit) {
			return nc, err
		}
	}
}
