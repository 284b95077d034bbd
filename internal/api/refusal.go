package api

import (
	"context"
	"encoding/json"
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amends-dev/amends/contract"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// codes are Connect's for ours.
var codes = map[transport.Code]connect.Code{
	transport.CodeInvalidArgument:    connect.CodeInvalidArgument,
	transport.CodeNotFound:           connect.CodeNotFound,
	transport.CodeAlreadyExists:      connect.CodeAlreadyExists,
	transport.CodeFailedPrecondition: connect.CodeFailedPrecondition,
	transport.CodeResourceExhausted:  connect.CodeResourceExhausted,
	transport.CodeUnavailable:        connect.CodeUnavailable,
	transport.CodeInternal:           connect.CodeInternal,
}

// refused is the error that a refusing reply means. fields renames the fields that
// were wrong from those of the bus's request to those of the API's.
func refused(reply *transport.Envelope, fields func(string) string) error {
	code, known := codes[transport.Code(reply.Code)]
	if !known {
		code = connect.CodeUnknown
	}
	failure := connect.NewError(code, errors.New(reply.Reason))
	var more transport.Refusal
	if len(reply.Data) > 0 {
		if err := json.Unmarshal(reply.Data, &more); err != nil {
			return connect.NewError(connect.CodeInternal, err)
		}
	}
	detail := &apiv1.Refusal{Legal: legalOperations(more.Legal), Revision: more.Revision}
	if reply.RetryAfter > 0 {
		detail.RetryAfter = durationpb.New(reply.RetryAfter)
	}
	for _, v := range more.Violations {
		detail.Violations = append(detail.Violations, &apiv1.Violation{Field: fields(v.Field), Problem: v.Problem})
	}
	if d, err := connect.NewErrorDetail(detail); err == nil && (len(reply.Data) > 0 || reply.RetryAfter > 0) {
		failure.AddDetail(d)
	}
	return failure
}

// invalid is an error about fields of a request that the coordinator never sees.
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

// asIs renames nothing.
func asIs(field string) string { return field }

// inDecision renames the fields of a decision about one saga.
func inDecision(field string) string { return "decision." + field }

// inFilter renames the fields of a list, which has its filter's beside its own.
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

// ask has the coordinator serve a request and reads its reply.
func ask[Reply any](ctx context.Context, c Coordinator, method string, request *transport.Envelope) (*Reply, error) {
	return askFor[Reply](ctx, c, method, request, asIs)
}

func askFor[Reply any](ctx context.Context, c Coordinator, method string, request *transport.Envelope, fields func(string) string) (*Reply, error) {
	request.Type, request.Caller = transport.TypeRequest, callerKey(ctx)
	reply := c.Handle(ctx, method, request)
	switch {
	case ctx.Err() != nil && reply.Code != "": // the caller's time is over, whatever the reply says
		return nil, ctx.Err()
	case reply.Code != "":
		return nil, refused(reply, fields)
	}
	if r, ok := reply.Value.(*Reply); ok { // the payloads byte for byte
		return r, nil
	}
	var r Reply
	if err := json.Unmarshal(reply.Data, &r); err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return &r, nil
}

// query is ask for requests whose data is a value of ours.
func query[Reply any](ctx context.Context, c Coordinator, method string, request *transport.Envelope, data any) (*Reply, error) {
	raw, err := contract.EncodeJSON(data)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	request.Data, request.Value = raw, data
	fields := asIs
	switch method {
	case transport.APIList, transport.APICount, transport.APIWatch:
		fields = inFilter
	case transport.APIOperate:
		fields = inDecision
	case transport.APIOperateAll:
		fields = inBulk
	}
	return askFor[Reply](ctx, c, method, request, fields)
}
