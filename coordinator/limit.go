package coordinator

import (
	"context"
	"errors"
	"fmt"

	"github.com/amends-dev/amends/internal/quota"
	"github.com/amends-dev/amends/transport"
)

// Bounds of the requests that are served at once (I10), in all and of each caller, so that
// one caller's do not keep out the others' (I13). Beyond them a request is refused with
// resource_exhausted.
const (
	// MaxReads bounds the requests that read. A caller may have as many as the others leave.
	MaxReads = 512
	// MaxBulk bounds the requests that decide about many sagas, or handle many dead letters:
	// they have slots of their own, and take turns with all else at the shards.
	MaxBulk = 8
	// MaxBulkPerCaller is how many of MaxBulk one caller may have.
	MaxBulkPerCaller = 2
	// DefaultMaxWatches is how many watch requests of one caller are held, unless
	// Config.MaxWatches says otherwise; ten times as many are in all.
	DefaultMaxWatches = 100

	// maxLooks bounds the looks at the store for requests that are held: they wait for a
	// slot, and take none of those who read.
	maxLooks = 64
)

// serving runs a request on a goroutine of its own, within a quota. kind is what to call
// such requests, limit the name of the quota's bounds.
func serving(q *quota.Quota, kind, limit string, serve func(context.Context, *transport.Envelope) (any, error)) func(context.Context, *transport.Envelope, func(*transport.Envelope)) {
	return func(ctx context.Context, request *transport.Envelope, reply func(*transport.Envelope)) {
		caller := request.Caller
		if refused := admit(q, caller, kind, limit); refused != nil {
			reply(refused)
			return
		}
		go func() {
			answer := respond(serve(ctx, request))
			q.Give(caller) // before the caller, who may ask again at once, has the answer
			reply(answer)
		}()
	}
}

// admit takes a slot in a quota, or refuses: nil is taken.
func admit(q *quota.Quota, caller, kind, limit string) *transport.Envelope {
	switch err := q.Take(caller); {
	case errors.Is(err, quota.ErrEach):
		return exhausted(retryOpen, fmt.Sprintf("too many %s of one caller at once (%s): others are to get in as well; try again when some have ended", kind, limit))
	case err != nil:
		return exhausted(retryOpen, fmt.Sprintf("too many %s at once (%s); try again", kind, limit))
	}
	return nil
}

// reading serves a request that reads.
func (s *service) reading(serve func(context.Context, *transport.Envelope) (any, error)) func(context.Context, *transport.Envelope, func(*transport.Envelope)) {
	return serving(s.reads, "reading requests", "MaxReads", serve)
}

// inBulk serves a request about many things, for MaxWait at most.
func (s *service) inBulk(serve func(context.Context, *transport.Envelope) (any, error)) func(context.Context, *transport.Envelope, func(*transport.Envelope)) {
	return s.atLength(func(ctx context.Context, request *transport.Envelope) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, MaxWait)
		defer cancel()
		return serve(ctx, request)
	})
}

// atLength serves a request in one of the slots for bulk, for as long as its caller waits.
func (s *service) atLength(serve func(context.Context, *transport.Envelope) (any, error)) func(context.Context, *transport.Envelope, func(*transport.Envelope)) {
	return serving(s.bulk, "requests about many sagas or dead letters", "MaxBulk, MaxBulkPerCaller", serve)
}
