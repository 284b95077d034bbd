package client

import (
	"log/slog"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Option configures a Client.
type Option interface{ configure(*Client) }

// StartOption configures one start.
type StartOption interface{ start(*transport.Envelope) }

type option func(*Client)

func (o option) configure(c *Client) { o(c) }

type startOption func(*transport.Envelope)

func (o startOption) start(e *transport.Envelope) { o(e) }

// Prefix sets the first token, or tokens, of the coordinator's subjects. Default:
// transport.DefaultPrefix.
func Prefix(prefix string) Option {
	return option(func(c *Client) { c.subjects.Prefix = prefix })
}

// The defaults of Timeout and Poll.
const (
	DefaultTimeout = 5 * time.Second
	DefaultPoll    = 5 * time.Second
)

// positive returns d, or def if d is 0 or less.
func positive(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// Timeout is how long one request waits for its reply before it has failed and, if repeating it is
// harmless, is sent again. 0 or less: DefaultTimeout.
func Timeout(d time.Duration) Option {
	return option(func(c *Client) { c.timeout = positive(d, DefaultTimeout) })
}

// GiveUp is how long a request is repeated while no coordinator answers, before it fails with
// ErrUnavailable; see Logger. 0: until the request's context ends. Default: 10 minutes.
func GiveUp(d time.Duration) Option {
	return option(func(c *Client) { c.giveUp = d })
}

// Logger logs that no coordinator answers: at once, and then every few seconds. Default:
// slog.Default().
func Logger(l *slog.Logger) Option {
	return option(func(c *Client) { c.logger = l })
}

// DefaultConcurrency is the default of Concurrency.
const DefaultConcurrency = 512

// RunsPerStart is how many concurrent runs (Client.Run) may use a single request, for each
// concurrent start allowed. They may be many because a run that has started its saga only waits.
const RunsPerStart = 8

// Concurrency is how many starts of the client may be in flight, and how many other requests, not
// counting those of Wait and Run that the coordinator holds. Further ones queue in the client: with
// more than a coordinator can answer at once, they would time out and be sent again. Less than 1
// means the default.
func Concurrency(n int) Option {
	return option(func(c *Client) {
		if n < 1 {
			n = DefaultConcurrency
		}
		c.starts, c.others = make(chan struct{}, n), make(chan struct{}, n)
		c.runs = make(chan struct{}, RunsPerStart*n)
	})
}

// RetryWhenOverloaded makes Start and Run retry when the coordinator is overloaded, after the time
// it suggests (see Error.RetryAfter), until ctx ends. Without it they return ErrOverloaded at once,
// so that the caller can slow down. Requests that only read always retry.
func RetryWhenOverloaded() Option {
	return option(func(c *Client) { c.retryOverloaded = true })
}

// Poll is how long the coordinator may hold a Wait or a Run before it replies with the saga's
// current status. Later requests of the same call are held as long as the call has already lasted,
// up to eight times Poll. A coordinator that crashes forgets the requests it holds; the caller then
// asks again after that time. 0 or less: DefaultPoll.
func Poll(d time.Duration) Option {
	return option(func(c *Client) { c.poll = positive(d, DefaultPoll) })
}

// ID sets the saga's id, which is the caller's idempotency key: starting the same id again with the
// same input returns the existing saga. Without it, each call of Start creates a UUIDv7.
func ID(id contract.SagaID) StartOption {
	return startOption(func(e *transport.Envelope) { e.Saga = id })
}

// ContentType is the media type of an input that is given as bytes, at most
// transport.MaxContentType long. Default: application/json.
func ContentType(mediaType string) StartOption {
	return startOption(func(e *transport.Envelope) { e.ContentType = mediaType })
}

// Trace sets the caller's W3C trace context, which every command of the saga carries. A malformed
// one is ignored; see transport.TraceContext.
func Trace(traceParent, traceState string) StartOption {
	return startOption(func(e *transport.Envelope) { e.TraceParent, e.TraceState = traceParent, traceState })
}
