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

// Client asks a coordinator over the bus. It is safe for concurrent use, by a
// hundred thousand goroutines too (see Concurrency), and needs no Close.
type Client struct {
	bus             transport.Requester
	subjects        transport.Subjects
	timeout         time.Duration
	poll            time.Duration
	tracer          Tracer        // nil: nobody follows
	starts          chan struct{} // holds one for each start that is under way
	runs            chan struct{} // for each run whose start and wait are one request
	others          chan struct{} // and for each other request, but those that are held
	retryOverloaded bool
	giveUp          time.Duration // on a coordinator that does not answer
	logger          *slog.Logger  // of what is waited for, repeated lines limited
}

// New makes a client of the coordinators that listen on bus.
func New(bus transport.Requester, options ...Option) *Client {
	c := &Client{bus: bus, timeout: 5 * time.Second, poll: 5 * time.Second, giveUp: waiting.Limit}
	Concurrency(DefaultConcurrency).configure(c)
	for _, o := range options {
		o.configure(c)
	}
	if c.logger == nil {
		c.logger = slog.Default()
	}
	c.logger = loglimit.Logger(c.logger) // a hundred thousand callers may wait
	return c
}

// Definition is anything that names a definition: a *saga.Definition, or a
// contract.DefinitionRef for a caller that knows the name only.
type Definition interface{ Ref() contract.DefinitionRef }

// Start starts a saga and returns when the coordinator has it on disk. It is sent
// again, with the same id, until somebody answers or ctx ends; a saga that was
// started before with the same input is answered with Status.Existed. A
// reference with version 0 means the newest version.
//
// input is written as JSON; a []byte or json.RawMessage is sent byte for byte.
// Two inputs are the same when they are JSON of the same value (members in any
// order, numbers by their exact decimal value), or else byte for byte, content
// type included.
//
// Errors: ErrInvalid (id, definition or input), ErrNotFound (no such
// definition), ErrConflict (the id is taken by a saga with another input or
// definition), ErrOverloaded (a limit is reached; Error.RetryAfter says when to
// try again; not of a client with RetryWhenOverloaded, unless ctx ended meanwhile),
// ErrUnavailable (ctx ended first: the saga may have been started; Error.ID is its
// id, start it again).
func (c *Client) Start(ctx context.Context, d Definition, input any, options ...StartOption) (*transport.Status, error) {
	q, err := c.starting(transport.APIStart, d, input, options)
	if err != nil {
		return nil, err
	}
	return c.status(ctx, q)
}

// starting makes the call that starts a saga.
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
		return nil, invalid(method, e.Saga, fmt.Errorf("write the input as JSON: %w", err))
	}
	e.Data = data
	return q, nil
}

// Get answers where a saga stands. A saga that ended and was removed answers
// with Status.Removed and its phase.
//
// Errors: ErrInvalid, ErrNotFound, ErrUnavailable.
func (c *Client) Get(ctx context.Context, id contract.SagaID) (*transport.Status, error) {
	return c.status(ctx, &call{method: transport.APIGet, envelope: transport.Envelope{Saga: id}, retryOverloaded: true})
}

// Operate takes a person's decision about a saga: op.Operation is one of
// Status.Legal, op.By and op.Reason say who and why, and become part of the
// saga's history. It is not repeated once it may have arrived: after
// ErrUnavailable, look with Get before asking again.
//
// Errors: ErrInvalid, ErrNotFound, ErrIllegal (the reason names what is legal),
// ErrUnavailable.
func (c *Client) Operate(ctx context.Context, id contract.SagaID, op transport.Decision) (*transport.Status, error) {
	data, err := encode(op)
	if err != nil {
		return nil, invalid(transport.APIOperate, id, err)
	}
	return c.status(ctx, &call{method: transport.APIOperate, envelope: transport.Envelope{Saga: id, Data: data}, once: true, moves: true})
}

// Cancel asks a saga to go back, for a person or a program named by. Beyond the
// point of no return it is refused with ErrIllegal. See Operate.
func (c *Client) Cancel(ctx context.Context, id contract.SagaID, by, reason string) (*transport.Status, error) {
	return c.Operate(ctx, id, transport.Decision{Operation: contract.OperationCancel, By: by, Reason: reason})
}

// List returns one page of sagas, newest start first; see All for all of them.
//
// Errors: ErrInvalid (a cursor of another list), ErrUnavailable.
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

// All yields every saga that matches, page by page. It ends at the first error,
// which it yields with a zero Status.
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
// Errors: ErrInvalid, ErrNotFound, ErrUnavailable.
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

// Register registers a definition: a *saga.Definition, or anything that writes
// itself as one in JSON. The same content again changes nothing.
//
// Errors: ErrInvalid (the reason lists every problem), ErrConflict (this version
// is registered with another content: give the changed one a new version),
// ErrUnavailable.
func (c *Client) Register(ctx context.Context, d interface {
	json.Marshaler
	Definition
}) (*transport.DefinitionReply, error) {
	data, err := d.MarshalJSON()
	if err != nil {
		return nil, invalid(transport.APIDefine, "", fmt.Errorf("write definition %s as JSON: %w", d.Ref(), err))
	}
	var reply transport.DefinitionReply
	q := &call{method: transport.APIDefine, envelope: transport.Envelope{Definition: d.Ref(), Data: data}, retryOverloaded: true}
	if err := c.do(ctx, q, &reply); err != nil {
		return nil, err
	}
	return &reply, nil
}

// Definitions lists the registered definitions by name and version.
//
// Errors: ErrUnavailable.
func (c *Client) Definitions(ctx context.Context) ([]transport.DefinitionReply, error) {
	var reply transport.DefinitionsReply
	if err := c.do(ctx, &call{method: transport.APIDefinitions, retryOverloaded: true}, &reply); err != nil {
		return nil, err
	}
	return reply.Definitions, nil
}

// status does a call that is about one saga and answers where it stands.
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

// encode writes a value as JSON, and bytes as they are.
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
