package natsbus

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// Commands that nobody fetched expire from the stream when their attempt is over
// (docs/adr/0020-commands-expire.md): the outbox keeps them, and an absent participant must not
// fill the stream that all share.

// life returns how long the stream of commands keeps a message, in whole seconds; 0: until it is
// acknowledged. A first attempt is kept for a minute at least, so that a participant that was
// briefly away still receives it.
func (b *Bus) life(e *transport.Envelope) time.Duration {
	if e.Expires.IsZero() || e.Type != transport.TypeCommand || !b.expiring.Load() {
		return 0
	}
	left := time.Until(e.Expires)
	if e.Attempt < 2 {
		left = max(left, transport.MinLife)
	}
	return max(time.Second, (left + time.Second - 1).Truncate(time.Second))
}

// ttl formats a life as a header value.
func ttl(life time.Duration) string { return strconv.Itoa(int(life/time.Second)) + "s" }

// expire enables per-message TTLs on the stream of commands, if the bus may change streams, and
// reports whether they are enabled. Servers before 2.11 do not support them.
func (b *Bus) expire(ctx context.Context, have jetstream.StreamConfig) bool {
	if have.AllowMsgTTL || b.config.Provision != Create {
		return have.AllowMsgTTL
	}
	have.AllowMsgTTL = true
	info, err := b.js.UpdateStream(ctx, have)
	if err != nil {
		b.config.Logger.Debug("the stream of commands could not be made to let repeated commands expire; they wait until they are taken", "error", err)
		return false
	}
	return info.CachedInfo().Config.AllowMsgTTL
}

// errNoTTL is the server's error for a message with a TTL in a stream without TTLs.
const errNoTTL jetstream.ErrorCode = 10166

// refusedLife notes that the stream no longer supports TTLs; the refused messages are sent again
// without one.
func (b *Bus) refusedLife(err error) {
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == errNoTTL {
		b.expiring.Store(false)
	}
}
