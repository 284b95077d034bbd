package natsbus

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// A message whose subject ends the client's connection (internal/strict says which) comes
// again after each reconnect. Where nothing stands between server and client, because the
// connection is the caller's or has TLS, it is terminated by what the client says of the
// line that it could not read: the server's reply subject is in it.

// handlers guards the handlers of connections: of two buses that are made on one at the
// same time, none overwrites the other's.
var handlers sync.Mutex

// watchDisconnects listens to why the connection is lost, beside whoever does so. A handler
// is never taken out again, since others may have put theirs before it: after stop it only
// passes on what it hears, and keeps nothing of the bus.
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

// disconnected has the delivery terminated that has ended the connection, if one has.
func (b *Bus) disconnected(err error) {
	reply := brokenBy(err)
	if reply == "" {
		return
	}
	select {
	case b.broken <- reply:
		b.lookSoon()
	default: // many are: they come again
	}
}

// brokenBy is the reply subject of the delivery that the client could not read; "" if
// that is not why the connection is lost. Its subject, which is its sender's, has no space
// in it: the server has read it.
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

// terminateBroken ends the deliveries that have ended connections. Called by watch only.
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
