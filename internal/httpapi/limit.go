package httpapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/internal/quota"
)

// Default limits for the requests that one caller may keep open (I10).
const (
	DefaultMaxStreams = 100
	DefaultMaxWaits   = 1000
)

// retryLimit is the retry delay given to a caller that reaches a limit.
const retryLimit = time.Second

// limit bounds open requests, in total and per caller (I13).
type limit struct {
	quota      *quota.Quota
	what, name string // what it limits, and the setting's name
	each       int
}

func newLimit(what, name string, each int) limit {
	return limit{quota.New(10*each, each), what, name, each}
}

// take takes a slot for the caller of a request. give returns the slot.
func (l limit) take(ctx context.Context) (give func(), err error) {
	caller := callerKey(ctx)
	switch err := l.quota.Take(caller); {
	case errors.Is(err, quota.ErrEach):
		return nil, exhausted(fmt.Sprintf("you have %d %s open, the limit of one caller (%s); end some, and try again", l.each, l.what, l.name))
	case err != nil:
		return nil, exhausted(fmt.Sprintf("%d %s are open, the limit of all callers together (ten times %s); try again", 10*l.each, l.what, l.name))
	}
	return func() { l.quota.Give(caller) }, nil
}

// callerKey returns the key under which a caller's requests count against limits.
func callerKey(ctx context.Context) string {
	caller, ok := access.From(ctx)
	if !ok {
		return ""
	}
	return caller.Key()
}

// exhausted returns the error for a request that may be retried later.
func exhausted(reason string) error {
	return refused(&api.Error{Code: api.CodeResourceExhausted, Reason: reason, Refusal: api.Refusal{RetryAfter: api.For(retryLimit)}})
}
