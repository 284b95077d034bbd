package natsbus

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// Commands leave the stream when nobody has taken them by the time their attempt is over
// (docs/adr/0020-commands-expire.md): the outbox holds them, and a participant that is
// away must not fill the stream that all share.

// life is how long the stream of commands keeps a message, in whole seconds, as the
// server counts; 0: until it is taken. A first attempt's is a minute at least: it is what
// a participant finds that was away for a moment.
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

// ttl is the value of a header that says a life.
func ttl(life time.Duration) string { return strconv.Itoa(int(life/time.Second)) + "s" }

// expire has the stream of commands let messages expire, if streams are ours to
// change, and reports whether it does. A server before 2.11 does not.
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

// errNoTTL is the server's refusal of a message with a life, in a stream that does not
// let messages expire.
const errNoTTL jetstream.ErrorCode = 10166

// refusedLife takes note that a stream does not let messages expire any more: what was
// refused is sent again without.
func (b *Bus) refusedLife(err error) {
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == errNoTTL {
		b.expiring.Store(false)
	}
}
