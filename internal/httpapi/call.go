package httpapi

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/apipb"
	"github.com/amends-dev/amends/transport"
)

// serve sends a request to the coordinator, and returns the coordinator's response.
func serve[Response, Request any](ctx context.Context, s *server, method string, r *connect.Request[Request]) (*connect.Response[Response], error) {
	request, err := valueOf(r.Msg)
	if err != nil {
		return nil, err
	}
	answer, err := send(ctx, s.coordinator, method, &transport.Envelope{
		TraceParent: r.Header().Get(transport.AttrTraceParent), TraceState: r.Header().Get(transport.AttrTraceState),
	}, request)
	if err != nil {
		return nil, err
	}
	m, err := messageOf[Response](answer)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(m), nil
}

// hold does the same as serve, for a request that waits for the end of a saga. Meanwhile the
// request takes one of the caller's slots.
func hold[Response, Request any](ctx context.Context, s *server, method string, r *connect.Request[Request]) (*connect.Response[Response], error) {
	give, err := s.waits.take(ctx)
	if err != nil {
		return nil, err
	}
	defer give()
	return serve[Response](ctx, s, method, r)
}

// valueOf converts a request's protobuf message to the corresponding type of package api. It
// refuses a message that a codec could not decode, or that has invalid or unknown fields.
func valueOf(message any) (any, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("%T is no protobuf message", message))
	}
	if e := refusalIn(m); e != nil {
		return nil, refused(e)
	}
	if field, problem := apipb.Check(m); problem != "" {
		return nil, invalid(field, problem)
	}
	return apipb.Value(m), nil
}

// messageOf converts a response to the corresponding protobuf message. response points to a value
// of a type of package api.
func messageOf[M any](response any) (*M, error) {
	m, ok := any(apipb.Message(response)).(*M)
	if !ok {
		return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("%T is not a %T", response, m))
	}
	return m, nil
}

// ask sends a request to the coordinator, without a trace context. request points to a value of a
// type of package api.
func ask[Response any](ctx context.Context, c Coordinator, method string, request any) (*Response, error) {
	answer, err := send(ctx, c, method, &transport.Envelope{}, request)
	if err != nil {
		return nil, err
	}
	response, ok := answer.(*Response)
	if !ok {
		return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("%T is not a %T", answer, response))
	}
	return response, nil
}

// send sends a request to the coordinator. The error is a Connect error, or the error of ctx.
func send(ctx context.Context, c Coordinator, method string, envelope *transport.Envelope, request any) (any, error) {
	envelope.Caller = callerKey(ctx)
	answer, err := c.Serve(ctx, method, envelope, request)
	if err == nil {
		return answer, nil
	}
	if ctx.Err() != nil { // the request's context has ended, so err does not matter
		return nil, ctx.Err()
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		return nil, refused(e)
	}
	return nil, connect.NewError(connect.CodeInternal, err)
}
