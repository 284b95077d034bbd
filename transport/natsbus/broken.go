package natsbus

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// A message whose subject breaks the client's connection (see internal/strict) is redelivered after
// each reconnect. If the client reads the server's lines directly, because the connection is the
// caller's or uses TLS, the message is terminated by the reply subject in the client's error.

// handlers guards the connections' handlers, so that two buses created on one connection at the
// same time do not overwrite each other's.
var handlers sync.Mutex

// watchDisconnects adds a handler for lost connections in front of the existing one. A handler is
// never removed, since others may have been added before it; after stop it only forwards, and does
// not reference the bus.
func (b *Bus) watchDisconnects() (stop func()) {
	handlers.Lock()
	defer handlers.Unlock()
	var open atomic.Pointer[Bus]
	open.Store(b)
	before := b.nc.DisconnectErrHandler()
	b.nc.SetDisconnectErrHandler(func(nc *nats.Conn, err error) {
		if before != nil {
			before(nc, err)
		}
		if b := open.Load(); b != nil {
			b.disconnected(err)
		}
	})
	return func() { open.Store(nil) }
}

// disconnected terminates the delivery that broke the connection, if there is one.
func (b *Bus) disconnected(err error) {
	reply := brokenBy(err)
	if reply == "" {
		return
	}
	select {
	case b.broken <- reply:
		b.lookSoon()
	default: // full: the message is redelivered, and handled then
	}
}

// brokenBy returns the reply subject of the delivery that the client could not parse; "" if the
// connection was lost for another reason. The message's subject contains no space, because the
// server has parsed it.
func brokenBy(err error) string {
	if err == nil {
		return ""
	}
	_, line, ok := strings.Cut(err.Error(), "MsgArgs Parse Error: '")
	words := strings.Split(strings.TrimSuffix(line, "'"), " ")
	if !ok || len(words) < 4 || len(words) > 5 || !strings.HasPrefix(words[2], "$JS.ACK.") {
		return ""
	}
	return words[2]
}

// terminateBroken terminates deliveries that broke connections. Called by watch only.
func (b *Bus) terminateBroken() {
	for {
		select {
		case reply := <-b.broken:
			b.stats.deadUnstored.Add(1)
			b.config.Logger.Warn("a message was terminated because its subject ends the connection to NATS", "sequence", streamSequence(reply))
			_ = b.nc.Publish(reply, []byte(term))
		default:
			return
		}
	}
}
