package natstest

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// connectTimeout limits each try, and all tries together.
const connectTimeout = time.Minute

// Connect is like nats.Connect, but retries for a running server on a busy machine. A server sends
// its first PING two seconds after it has accepted a connection. The client fails if it is not
// connected by then.
func Connect(url string, options ...nats.Option) (nc *nats.Conn, err error) {
	options = append([]nats.Option{nats.Timeout(connectTimeout)}, options...)
	for limit := time.Now().Add(connectTimeout); ; {
		nc, err = nats.Connect(url, options...)
		if err == nil || !strings.Contains(err.Error(), "expected 'PONG', got 'PING'") || time.Now().After(limit) {
			return nc, err
		}
	}
}
