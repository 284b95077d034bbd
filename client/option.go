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

// Prefix is the first token, or tokens, of the coordinator's subjects. Default:
// transport.DefaultPrefix.
func Prefix(prefix string) Option {
	return option(func(c *Client) { c.subjects.Prefix = prefix })
}

// Timeout is how long one request may stay unanswered before it counts as
// unanswered and, where that is harmless, is sent again. Default: 5 s.
func Timeout(d time.Duration) Option {
	return option(func(c *Client) { c.timeout = d })
}

// GiveUp is how long a coordinator that does not answer is asked again, before a request
// fails with ErrUnavailable; it is said meanwhile that it is waited for (Logger). 0: until
// the request's context ends. Default: 10 minutes.
func GiveUp(d time.Duration) Option {
	return option(func(c *Client) { c.giveUp = d })
}

// Logger is told when a coordinator that does not answer is waited for: at once, and every
// few seconds. Default: slog.Default().
func Logger(l *slog.Logger) Option {
	return option(func(c *Client) { c.logger = l })
}

// DefaultConcurrency is the default of Concurrency.
const DefaultConcurrency = 512

// RunsPerStart is how many runs (Client.Run) may be one request at once, for each start
// that may be under way: a run that has arrived only waits, and is answered before it
// would be sent again.
const RunsPerStart = 8

// Concurrency is how many starts of the client may be under way at once, and how
// many other requests, those that Wait and Run have the coordinator hold not counted; further
// ones wait for their turn in the client. More than a coordinator can answer at once
// would only wait elsewhere, and be sent again when they have waited there for too
// long. Less than 1 means the default.
func Concurrency(n int) Option {
	return option(func(c *Client) {
		if n < 1 {
			n = DefaultConcurrency
		}
		c.starts, c.others = make(chan struct{}, n), make(chan struct{}, n)
		c.runs = make(chan struct{}, RunsPerStart*n)
	})
}

// RetryWhenOverloaded makes Start and Run wait when the coordinator has too much to do, as long as
// it says (see Error.RetryAfter), and ask again, until ctx ends. Without it they
// return ErrOverloaded at once, for a caller who would rather do something else.
// Requests that only read always do.
func RetryWhenOverloaded() Option {
	return option(func(c *Client) { c.retryOverloaded = true })
}

// Poll is how long the coordinator is asked to hold a Wait or a Run before it answers
// where the saga stands. Further requests of the same call are held as long as it has
// lasted already, up to eight times this. A coordinator that dies forgets whom it
// held; the caller asks the next one after that time. Default: 5 s.
func Poll(d time.Duration) Option {
	return option(func(c *Client) { c.poll = d })
}

// ID is the saga's id, and so the caller's idempotency key: starting the same id
// again with the same input answers the saga that exists. Without it the client
// makes a UUIDv7, once for each call of Start.
func ID(id contract.SagaID) StartOption {
	return startOption(func(e *transport.Envelope) { e.Saga = id })
}

// ContentType is the media type of an input that is given as bytes, at most
// transport.MaxContentType of them. Default: application/json.
func ContentType(mediaType string) StartOption {
	return startOption(func(e *transport.Envelope) { e.ContentType = mediaType })
}

// Trace is the W3C trace context of the caller; every command of the saga carries it
// on. What is not exactly one is not sent, and no error: see transport.TraceContext.
func Trace(traceParent, traceState string) StartOption {
	return startOption(func(e *transport.Envelope) { e.TraceParent, e.TraceState = traceParent, traceState })
}
