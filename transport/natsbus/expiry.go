package natsbus

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
)

// Commands that repeat an attempt leave the stream when nobody has taken them by the
// time the attempt is over (docs/adr/0020-repeated-commands-expire.md). A first attempt
// stays until it is taken: it is what a participant finds that was away.

// life is how long the stream of commands keeps a message, in whole seconds, as the
// server counts; 0: until it is taken.
func (b *Bus) life(e *transport.Envelope) time.Duration {
	if e.Attempt < 2 || e.Expires.IsZero() || e.Type != transport.TypeCommand || !b.expiring.Load() {
		return 0
	}
	left := time.Until(e.Expires)
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
