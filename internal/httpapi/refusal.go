package api

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amends-dev/amends/contract"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// codes maps the coordinator's codes to Connect's.
var codes = map[transport.Code]connect.Code{
	transport.CodeInvalidArgument:    connect.CodeInvalidArgument,
	transport.CodeNotFound:           connect.CodeNotFound,
	transport.CodeAlreadyExists:      connect.CodeAlreadyExists,
	transport.CodeFailedPrecondition: connect.CodeFailedPrecondition,
	transport.CodeResourceExhausted:  connect.CodeResourceExhausted,
	transport.CodeUnavailable:        connect.CodeUnavailable,
	transport.CodeInternal:           connect.CodeInternal,
}

// refused converts a refusal into an error for HTTP. fields converts field names of the bus's
// request to those of the API's.
func refused(r *transport.RequestError, fields func(string) string) error {
	code, known := codes[r.Code]
	if !known {
		code = connect.CodeUnknown
	}
	failure := connect.NewError(code, errors.New(r.Reason))
	detail := &apiv1.Refusal{Legal: legalOperations(r.Legal), Revision: r.Revision}
	if r.RetryAfter > 0 {
		detail.RetryAfter = durationpb.New(r.RetryAfter)
	}
	for _, v := range r.Violations {
		detail.Violations = append(detail.Violations, &apiv1.Violation{Field: fields(v.Field), Problem: v.Problem})
	}
	if d, err := connect.NewErrorDetail(detail); err == nil && (r.Detailed() || r.RetryAfter > 0) {
		failure.AddDetail(d)
	}
	return failure
}

// invalid returns an error for request fields that only the API has.
func invalid(field, problem string) error {
	failure := connect.NewError(connect.CodeInvalidArgument, errors.New(field+": "+problem))
	d, err := connect.NewErrorDetail(&apiv1.Refusal{Violations: []*apiv1.Violation{{Field: field, Problem: problem}}})
	if err == nil {
		failure.AddDetail(d)
	}
	return failure
}

func legalOperations(legal []contract.LegalOperation) []*apiv1.LegalOperation {
	var out []*apiv1.LegalOperation
	for _, l := range legal {
		out = append(out, &apiv1.LegalOperation{Operation: string(l.Operation), Step: string(l.Step)})
	}
	return out
}

// asIs leaves field names unchanged.
func asIs(field string) string { return field }

// inDecision converts field names for an operation on one saga.
func inDecision(field string) string { return "decision." + field }

// inFilter converts field names for a list, whose query has the filter's fields beside its own.
func inFilter(field string) string {
	switch field {
	case "limit", "cursor":
		return field
	case "definition":
		return "filter.definition.name"
	case "version":
		return "filter.definition.version"
	}
	return "filter." + field
}

// ask sends the coordinator a request without a query.
func ask[Answer any](ctx context.Context, c Coordinator, method string, request *transport.Envelope) (*Answer, error) {
	return query[Answer, struct{}](ctx, c, method, request, nil)
}

// query sends the coordinator a request. data is the query, or nil if there is none.
func query[Answer, Query any](ctx context.Context, c Coordinator, method string, request *transport.Envelope, data *Query) (*Answer, error) {
	request.Type, request.Caller = transport.TypeRequest, callerKey(ctx)
	var q any
	if data != nil {
		q = data
	}
	answer, err := c.Serve(ctx, method, request, q)
	if err != nil {
		if ctx.Err() != nil { // the caller's deadline has passed, whatever the error is
			return nil, ctx.Err()
		}
		var r *transport.RequestError
		if !errors.As(err, &r) {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
		return nil, refused(r, fieldsOf(method))
	}
	a, ok := answer.(*Answer)
	if !ok {
		return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("%s was answered with a %T", method, answer))
	}
	return a, nil
}

// fieldsOf returns the function that converts field names of a method's query to those of the API.
func fieldsOf(method string) func(string) string {
	switch method {
	case transport.APIList, transport.APICount, transport.APIWatch:
		return inFilter
	case transport.APIOperate:
		return inDecision
	case transport.APIOperateAll:
		return inBulk
	}
	return asIs
}
