package client

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/transport"
)

// Option sets an option of a Client. Every option has a default, which the value 0 selects. A negative
// value switches the option off if it can be off. Check reports any other value that cannot be used.
type Option interface{ configure(*Client) }

// StartOption sets an option of one start.
type StartOption interface{ start(*transport.Envelope) }

// OperateOption sets an option of one decision of an operator.
type OperateOption interface{ operate(*api.OperateRequest) }

type option func(*Client)

func (o option) configure(c *Client) { o(c) }

type startOption func(*transport.Envelope)

func (o startOption) start(e *transport.Envelope) { o(e) }

type operateOption func(*api.OperateRequest)

func (o operateOption) operate(r *api.OperateRequest) { o(r) }

// Prefix sets the first token, or tokens, of the coordinator's subjects. The default is the prefix
// of the bus if the bus is a transport.Prefixer, as natsbus and membus are; otherwise it is
// transport.DefaultPrefix.
func Prefix(prefix string) Option {
	return option(func(c *Client) { c.subjects.Prefix = prefix })
}

// Defaults of RequestTimeout and PollInterval.
const (
	DefaultRequestTimeout = 5 * time.Second
	DefaultPollInterval   = 5 * time.Second
)

// complete replaces 0 by the default, and returns the problems of all other values.
func (c *Client) complete() error {
	c.timeout = cmp.Or(c.timeout, DefaultRequestTimeout)
	c.poll = cmp.Or(c.poll, DefaultPollInterval)
	c.giveUp = cmp.Or(c.giveUp, waiting.Limit)
	c.concurrency = cmp.Or(c.concurrency, DefaultConcurrency)
	c.subjects = c.subjects.On(c.bus)
	problems := []error{transport.CheckPrefix(c.subjects.Prefix)}
	if c.timeout < 0 {
		problems = append(problems, fmt.Errorf("RequestTimeout is %s; give a positive time, or 0 for the default", c.timeout))
	}
	if c.poll < 0 || c.poll > maxHold {
		problems = append(problems, fmt.Errorf("PollInterval is %s; give at most %s, or 0 for the default", c.poll, maxHold))
	}
	if c.concurrency < 0 || c.concurrency > MaxConcurrency {
		problems = append(problems, fmt.Errorf("Concurrency is %d; give 1 to %d, or 0 for the default", c.concurrency, MaxConcurrency))
	}
	if c.bus == nil {
		problems = append(problems, errors.New("the bus is nil; connect one with natsbus.Connect"))
	}
	return errors.Join(problems...)
}

// RequestTimeout sets how long one attempt waits for its reply. After that, the attempt has failed,
// and the request is sent again if repeating it is safe. The default is DefaultRequestTimeout.
func RequestTimeout(d time.Duration) Option {
	return option(func(c *Client) { c.timeout = d })
}

// GiveUp sets how long a request is repeated while no coordinator answers. After that, the request
// fails with ErrUnavailable. The default is 10 minutes. A negative value means that only the
// request's context ends it.
func GiveUp(d time.Duration) Option {
	return option(func(c *Client) { c.giveUp = d })
}

// Logger sets the logger. It receives a line when no coordinator answers, at once and then every
// few seconds. The default is slog.Default().
func Logger(l *slog.Logger) Option {
	return option(func(c *Client) { c.logger = l })
}

// DefaultConcurrency is the default of Concurrency, and MaxConcurrency its maximum.
const (
	DefaultConcurrency = 512
	MaxConcurrency     = 1 << 20
)

// RunsPerStart, times the starts that Concurrency allows, is the maximum number of concurrent runs
// (Client.Run) that use a single request. A run mostly waits, so this limit is the higher one.
const RunsPerStart = 8

// Concurrency sets how many starts, and how many other requests, may be in flight. Requests of Wait
// and Run that the coordinator holds do not count. Further requests queue in the client. If they
// were sent, a coordinator might not answer them in time, and they would time out and be sent
// again. The default is DefaultConcurrency.
func Concurrency(n int) Option {
	return option(func(c *Client) { c.concurrency = n })
}

// RetryWhenOverloaded makes Start and Run retry after the suggested time (see Error.RetryAfter) if
// the coordinator is overloaded, until ctx ends. Without this option they return ErrOverloaded at
// once, so that the caller can slow down. Requests that only read are always retried.
func RetryWhenOverloaded() Option {
	return option(func(c *Client) { c.retryOverloaded = true })
}

// PollInterval sets how long the coordinator may hold the first request of a Wait or Run before it
// replies with the saga's current state. Later requests of the same call are held as long as the
// call has already lasted, up to eight times PollInterval. A coordinator that crashes loses the
// requests that it holds; the client repeats such a request only after its hold time. PollInterval
// is at most a minute; the default is DefaultPollInterval.
func PollInterval(d time.Duration) Option {
	return option(func(c *Client) { c.poll = d })
}

// ID sets the saga's id, which is the caller's idempotency key. Starting the same id again with the
// same input returns the existing saga. Without ID, each call of Start creates a UUIDv7.
func ID(id contract.SagaID) StartOption {
	return startOption(func(e *transport.Envelope) { e.Saga = id })
}

// ContentType sets the media type of an input that consists of bytes. The media type has at most
// transport.MaxContentType bytes. The default is application/json.
func ContentType(mediaType string) StartOption {
	return startOption(func(e *transport.Envelope) { e.ContentType = mediaType })
}

// TraceContext sets the caller's W3C trace context, which every command of the saga carries. An invalid
// context is ignored; see transport.TraceContext.
func TraceContext(traceParent, traceState string) StartOption {
	return startOption(func(e *transport.Envelope) { e.TraceParent, e.TraceState = traceParent, traceState })
}

// ExpectedRevision makes Operate and Cancel return ErrRevision unless the saga has this revision
// (see Saga.Revision), so that the decision is not made about a state that the operator has not
// seen. 0 means any revision.
func ExpectedRevision(revision uint64) OperateOption {
	return operateOption(func(r *api.OperateRequest) { r.ExpectedRevision = revision })
}
