package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/loglimit"
	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/transport"
)

// Client sends requests to a coordinator over the bus. It is safe for concurrent use, even by a
// hundred thousand goroutines (see Concurrency). It need not be closed.
type Client struct {
	bus             transport.Requester
	subjects        transport.Subjects
	timeout         time.Duration
	poll            time.Duration
	tracer          Tracer        // nil means no tracing
	starts          chan struct{} // one element for each start in flight
	runs            chan struct{} // one element for each run that uses a single request
	others          chan struct{} // one element for each other request, except requests that the coordinator holds
	retryOverloaded bool
	giveUp          time.Duration // how long requests are repeated without an answer
	logger          *slog.Logger  // limits repeated log lines
}

// New returns a client for the coordinators on bus.
func New(bus transport.Requester, options ...Option) *Client {
	c := &Client{bus: bus, timeout: DefaultTimeout, poll: DefaultPoll, giveUp: waiting.Limit}
	Concurrency(DefaultConcurrency).configure(c)
	for _, o := range options {
		o.configure(c)
	}
	if c.logger == nil {
		c.logger = slog.Default()
	}
	c.logger = loglimit.Logger(c.logger) // many callers may wait at the same time
	return c
}

// Definition is a value with a definition's reference. It is a *saga.Definition, or a
// contract.DefinitionRef if the caller knows only the name.
type Definition interface{ Ref() contract.DefinitionRef }

// Start starts a saga. It returns when the coordinator has written the saga to disk. The request is
// repeated with the same id until it is answered, ctx ends or GiveUp has passed. If the saga was
// already started with
// the same input, Status.Existed is set. A reference with version 0 means the newest version.
//
// The input is encoded as JSON; a []byte or json.RawMessage is sent unchanged. Two JSON inputs are
// the same if they have the same value. The order of members does not matter, and numbers are
// compared by their exact decimal value. Other inputs are the same if their bytes and content types
// are equal.
//
// Start returns ErrInvalid for an invalid id, definition or input, ErrNotFound for an unknown
// definition, and ErrConflict if the saga with this id has a different input or definition. It
// returns ErrOverloaded if a limit is reached; Error.RetryAfter is the suggested wait. With
// RetryWhenOverloaded, it returns ErrOverloaded only if ctx ends meanwhile. It returns
// ErrUnavailable if ctx ends first. In that case the saga may have been started, so start it again
// with the id in Error.ID.
func (c *Client) Start(ctx context.Context, d Definition, input any, options ...StartOption) (*transport.Status, error) {
	q, err := c.starting(transport.APIStart, d, input, options)
	if err != nil {
		return nil, err
	}
	return c.status(ctx, q)
}

// starting returns the call for starting a saga.
func (c *Client) starting(method string, d Definition, input any, options []StartOption) (*call, error) {
	q := &call{method: method, envelope: transport.Envelope{Definition: d.Ref(), ContentType: transport.JSON}, moves: true, retryOverloaded: c.retryOverloaded}
	e := &q.envelope
	for _, o := range options {
		o.start(e)
	}
	if e.Saga == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, &Error{Op: method, Code: transport.CodeInternal, Reason: "make an id", Err: err}
		}
		e.Saga = contract.SagaID(id.String())
	}
	if err := contract.CheckName("definition", e.Definition.Name); err != nil {
		return nil, invalid(method, e.Saga, err)
	}
	if err := transport.CheckContentType(e.ContentType); err != nil {
		return nil, invalid(method, e.Saga, err)
	}
	e.TraceParent, e.TraceState, _ = transport.TraceContext(e.TraceParent, e.TraceState)
	data, err := encode(input)
	if err != nil {
		return nil, invalid(method, e.Saga, fmt.Errorf("encode the input as JSON: %w", err))
	}
	e.Data = data
	return q, nil
}

// Get returns a saga's status. For a saga that has ended and was removed, the status has only
// Removed and the phase.
//
// Get returns ErrInvalid, ErrNotFound or ErrUnavailable.
func (c *Client) Get(ctx context.Context, id contract.SagaID) (*transport.Status, error) {
	return c.status(ctx, &call{method: transport.APIGet, envelope: transport.Envelope{Saga: id}, retryOverloaded: true})
}

// Operate executes an operator's decision on a saga. op.Operation is one of Status.Legal. op.By and
// op.Reason are recorded in the saga's history. The request is not repeated if the coordinator may
// have received it. After ErrUnavailable, check the saga with Get before you try again.
//
// Operate returns ErrInvalid, ErrNotFound, ErrUnavailable, or ErrIllegal with a reason that lists
// the legal operations.
func (c *Client) Operate(ctx context.Context, id contract.SagaID, op transport.Decision) (*transport.Status, error) {
	data, err := encode(op)
	if err != nil {
		return nil, invalid(transport.APIOperate, id, err)
	}
	return c.status(ctx, &call{method: transport.APIOperate, envelope: transport.Envelope{Saga: id, Data: data}, once: true, moves: true})
}

// Cancel requests the compensation of a saga. by is the person or program that cancels. After the
// point of no return, Cancel returns ErrIllegal. See Operate.
func (c *Client) Cancel(ctx context.Context, id contract.SagaID, by, reason string) (*transport.Status, error) {
	return c.Operate(ctx, id, transport.Decision{Operation: contract.OperationCancel, By: by, Reason: reason})
}

// List returns one page of sagas, newest first. All returns all pages.
//
// List returns ErrInvalid for a cursor of a different list, or ErrUnavailable.
func (c *Client) List(ctx context.Context, query transport.ListQuery) (*transport.ListReply, error) {
	data, err := encode(query)
	if err != nil {
		return nil, invalid(transport.APIList, "", err)
	}
	var reply transport.ListReply
	if err := c.do(ctx, &call{method: transport.APIList, envelope: transport.Envelope{Data: data}, retryOverloaded: true}, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}

// All yields every matching saga, page by page. After an error, it yields the error with a zero
// Status, and ends.
func (c *Client) All(ctx context.Context, query transport.ListQuery) iter.Seq2[transport.Status, error] {
	return func(yield func(transport.Status, error) bool) {
		for {
			page, err := c.List(ctx, query)
			if err != nil {
				yield(transport.Status{}, err)
				return
			}
			for i := range page.Sagas {
				if !yield(page.Sagas[i], nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			query.Cursor = page.Next
		}
	}
}

// History returns the recorded events of a saga, oldest first.
//
// History returns ErrInvalid, ErrNotFound or ErrUnavailable.
func (c *Client) History(ctx context.Context, id contract.SagaID) ([]transport.HistoryEvent, error) {
	if err := id.Check(); err != nil {
		return nil, invalid(transport.APIHistory, id, err)
	}
	var events []transport.HistoryEvent
	for query := (transport.HistoryQuery{}); ; {
		data, err := encode(query)
		if err != nil {
			return nil, invalid(transport.APIHistory, id, err)
		}
		var reply transport.HistoryReply
		q := &call{method: transport.APIHistory, envelope: transport.Envelope{Saga: id, Data: data}, retryOverloaded: true}
		if err := c.do(ctx, q, &reply); err != nil {
			return nil, err
		}
		events = append(events, reply.Events...)
		if reply.Next <= query.From {
			return events, nil
		}
		query.From = reply.Next
	}
}

// Register registers a definition. d is a *saga.Definition, or a value with the same JSON encoding.
// Registering the same content again has no effect.
//
// Register returns ErrInvalid with a reason that lists every problem, or ErrUnavailable. It returns
// ErrConflict if this version is registered with different content; give the changed definition a
// new version.
func (c *Client) Register(ctx context.Context, d interface {
	json.Marshaler
	Definition
}) (*transport.DefinitionReply, error) {
	data, err := d.MarshalJSON()
	if err != nil {
		return nil, invalid(transport.APIDefine, "", fmt.Errorf("encode definition %s as JSON: %w", d.Ref(), err))
	}
	var reply transport.DefinitionReply
	q := &call{method: transport.APIDefine, envelope: transport.Envelope{Definition: d.Ref(), Data: data}, retryOverloaded: true}
	if err := c.do(ctx, q, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}

// Definitions returns the registered definitions, sorted by name and version.
//
// Definitions returns ErrUnavailable.
func (c *Client) Definitions(ctx context.Context) ([]transport.DefinitionReply, error) {
	var reply transport.DefinitionsReply
	if err := c.do(ctx, &call{method: transport.APIDefinitions, retryOverloaded: true}, &reply); err != nil {
		return nil, err
	}
	return reply.Definitions, nil
}

// status sends a call about one saga and returns the saga's status.
func (c *Client) status(ctx context.Context, q *call) (*transport.Status, error) {
	if err := q.envelope.Saga.Check(); err != nil {
		return nil, invalid(q.method, "", err)
	}
	end := c.follow(ctx, q)
	var status transport.Status
	err := c.do(ctx, q, &status)
	if end != nil {
		end(err)
	}
	if err != nil {
		return nil, err
	}
	return &status, nil
}

// encode encodes a value as JSON. It returns bytes unchanged.
func encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case json.RawMessage:
		return v, nil
	default:
		return contract.EncodeJSON(v)
	}
}

func invalid(op string, id contract.SagaID, err error) error {
	return &Error{Op: op, ID: id, Code: transport.CodeInvalidArgument, Err: err}
}
