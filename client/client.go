package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/loglimit"
	"github.com/amends-dev/amends/transport"
)

// Client sends requests to a coordinator over the bus. It is safe for concurrent use, even by a
// hundred thousand goroutines (see Concurrency). It need not be closed.
type Client struct {
	bus             transport.Requester
	subjects        transport.Subjects
	timeout         time.Duration
	poll            time.Duration
	tracer          Tracer // nil means no tracing
	concurrency     int
	starts          chan struct{} // one element for each start in flight
	runs            chan struct{} // one element for each run that uses a single request
	others          chan struct{} // one element for each other request, except requests that the coordinator holds
	retryOverloaded bool
	giveUp          time.Duration // how long a request is repeated while no coordinator answers; negative means no limit
	problem         error         // of the options; every request returns it
	logger          *slog.Logger  // limits repeated log lines
}

// New returns a client for the coordinators on bus. If an option is invalid, Check returns an error,
// and so does every request.
func New(bus transport.Requester, options ...Option) *Client {
	c := &Client{bus: bus}
	for _, o := range options {
		o.configure(c)
	}
	c.problem = c.complete()
	n := min(max(c.concurrency, 1), MaxConcurrency)
	c.starts, c.others, c.runs = make(chan struct{}, n), make(chan struct{}, n), make(chan struct{}, RunsPerStart*n)
	if c.logger == nil {
		c.logger = slog.Default()
	}
	c.logger = loglimit.Logger(c.logger) // many callers may wait at the same time
	return c
}

// Check returns all problems of the client's options, joined. It returns nil if the client can send
// requests. Otherwise every request fails with ErrInvalid and these problems.
func (c *Client) Check() error { return c.problem }

// Definition is a value that has the reference of a saga definition: a *saga.Definition, or a
// contract.DefinitionRef if the caller knows only the name.
type Definition interface{ Ref() contract.DefinitionRef }

// Start starts a saga. It returns when the coordinator has written the saga to disk. The request is
// repeated with the same id until it is answered, ctx ends or GiveUp has passed. If the saga was
// already started with the same input, Saga.Existed is set. A reference with version 0 means the
// newest version.
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
// ErrUnavailable if ctx ends or GiveUp has passed without an answer. The saga may then have been
// started, so start it again with the id in Error.ID.
func (c *Client) Start(ctx context.Context, d Definition, input any, options ...StartOption) (*api.Saga, error) {
	q, err := c.starting(api.MethodStart, d, input, options)
	if err != nil {
		return nil, err
	}
	return c.saga(ctx, q)
}

// starting returns the call for starting a saga. The envelope's attributes describe the start, and
// its data is the input.
func (c *Client) starting(method string, d Definition, input any, options []StartOption) (*call, error) {
	q := &call{method: method, envelope: transport.Envelope{Definition: d.Ref(), ContentType: transport.JSON}, moves: true, retryOverloaded: c.retryOverloaded}
	e := &q.envelope
	for _, o := range options {
		o.start(e)
	}
	if e.Saga == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, &Error{Op: method, Code: api.CodeInternal, Reason: "cannot generate an id", Err: err}
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
	q.id, e.Data = e.Saga, data
	return q, nil
}

// Get returns the state of a saga. If the saga has ended and was removed, the state has few fields;
// see Saga.Removed.
//
// On failure, Get returns ErrInvalid, ErrNotFound or ErrUnavailable.
func (c *Client) Get(ctx context.Context, id contract.SagaID) (*api.Saga, error) {
	q, err := reading(api.MethodGet, id, &api.GetRequest{ID: id})
	if err != nil {
		return nil, err
	}
	return c.saga(ctx, q)
}

// Operate executes an operator's decision on a saga. d.Operation is an operation in Saga.Legal.
// d.By and d.Reason are recorded in the saga's history. The request is not repeated if the
// coordinator may have received it. After ErrUnavailable, check the saga with Get before you try
// again.
//
// On failure, Operate returns ErrInvalid, ErrNotFound, ErrUnavailable, or ErrIllegal with a reason
// that lists the legal operations. With ExpectedRevision, it returns ErrRevision if the saga has
// changed; Error.Revision is the current revision.
func (c *Client) Operate(ctx context.Context, id contract.SagaID, d api.Decision, options ...OperateOption) (*api.Saga, error) {
	request := api.OperateRequest{ID: id, Decision: d}
	for _, o := range options {
		o.operate(&request)
	}
	data, err := contract.EncodeJSON(&request)
	if err != nil {
		return nil, invalid(api.MethodOperate, id, err)
	}
	return c.saga(ctx, &call{method: api.MethodOperate, id: id, envelope: transport.Envelope{Data: data}, once: true, moves: true})
}

// Cancel requests the compensation of a saga. d.By is the person or program that cancels, and
// d.Reason says why; d.Operation need not be set. After the point of no return, Cancel returns
// ErrIllegal. See Operate.
func (c *Client) Cancel(ctx context.Context, id contract.SagaID, d api.Decision, options ...OperateOption) (*api.Saga, error) {
	if d.Operation != "" && d.Operation != contract.OperationCancel {
		return nil, invalid(api.MethodOperate, id, fmt.Errorf("the operation is %s; leave it out, or call Operate", d.Operation))
	}
	d.Operation = contract.OperationCancel
	return c.Operate(ctx, id, d, options...)
}

// List returns one page of sagas, newest first. All yields the sagas of all pages.
//
// On failure, List returns ErrUnavailable, or ErrInvalid for a cursor of a different list.
func (c *Client) List(ctx context.Context, request api.ListRequest) (*api.ListResponse, error) {
	return read[api.ListResponse](ctx, c, api.MethodList, "", &request)
}

// All yields every matching saga, page by page. If a page fails, All yields the error with a zero
// Saga, and ends.
func (c *Client) All(ctx context.Context, request api.ListRequest) iter.Seq2[api.Saga, error] {
	return func(yield func(api.Saga, error) bool) {
		for {
			page, err := c.List(ctx, request)
			if err != nil {
				yield(api.Saga{}, err)
				return
			}
			for i := range page.Sagas {
				if !yield(page.Sagas[i], nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			request.Cursor = page.NextCursor
		}
	}
}

// History returns the recorded events of a saga, oldest first.
//
// On failure, History returns ErrInvalid, ErrNotFound or ErrUnavailable.
func (c *Client) History(ctx context.Context, id contract.SagaID) ([]api.Event, error) {
	if err := id.Check(); err != nil {
		return nil, invalid(api.MethodHistory, id, err)
	}
	var events []api.Event
	for request := (api.HistoryRequest{ID: id}); ; {
		page, err := read[api.HistoryResponse](ctx, c, api.MethodHistory, id, &request)
		if err != nil {
			return nil, err
		}
		events = append(events, page.Events...)
		if page.NextRevision <= request.FromRevision {
			return events, nil
		}
		request.FromRevision = page.NextRevision
	}
}

// Register registers a definition. d is a *saga.Definition, or a value with the same JSON encoding.
// Registering the same content again only sets Existed in the response.
//
// On failure, Register returns ErrUnavailable, or ErrInvalid with a reason that lists every
// problem. It returns ErrConflict if this version is registered with different content; give the
// changed definition a new version.
func (c *Client) Register(ctx context.Context, d interface {
	json.Marshaler
	Definition
}) (*api.RegisterDefinitionResponse, error) {
	source, err := d.MarshalJSON()
	if err != nil {
		return nil, invalid(api.MethodRegisterDefinition, "", fmt.Errorf("encode definition %s as JSON: %w", d.Ref(), err))
	}
	return read[api.RegisterDefinitionResponse](ctx, c, api.MethodRegisterDefinition, "", &api.RegisterDefinitionRequest{Source: string(source)})
}

// Definitions returns the registered definitions, sorted by name and version. Its only expected
// error is ErrUnavailable.
func (c *Client) Definitions(ctx context.Context) ([]api.Definition, error) {
	response, err := read[api.ListDefinitionsResponse](ctx, c, api.MethodListDefinitions, "", &api.ListDefinitionsRequest{})
	if err != nil {
		return nil, err
	}
	return response.Definitions, nil
}

// saga sends a call about one saga and returns the saga of the response.
func (c *Client) saga(ctx context.Context, q *call) (*api.Saga, error) {
	if err := q.id.Check(); err != nil {
		return nil, invalid(q.method, "", err)
	}
	end := c.follow(ctx, q)
	var response api.GetResponse // the responses of the other methods about one saga have the same form
	err := c.do(ctx, q, &response)
	if err == nil && response.Saga == nil {
		err = otherRelease(q, errors.New("the reply contains no saga"))
	}
	if end != nil {
		end(err)
	}
	if err != nil {
		return nil, err
	}
	return response.Saga, nil
}

// read sends a request that can be repeated, and returns its response.
func read[R any](ctx context.Context, c *Client, method string, id contract.SagaID, request any) (*R, error) {
	q, err := reading(method, id, request)
	if err != nil {
		return nil, err
	}
	response := new(R)
	if err := c.do(ctx, q, response); err != nil {
		return nil, err
	}
	return response, nil
}

// reading returns the call for a request that can be repeated, even if a coordinator is overloaded.
func reading(method string, id contract.SagaID, request any) (*call, error) {
	data, err := contract.EncodeJSON(request)
	if err != nil {
		return nil, invalid(method, id, err)
	}
	return &call{method: method, id: id, envelope: transport.Envelope{Data: data}, retryOverloaded: true}, nil
}

// encode encodes an input as JSON. It returns bytes unchanged.
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
	return &Error{Op: op, ID: id, Code: api.CodeInvalidArgument, Err: err}
}
