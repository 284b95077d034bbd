package httpapi

import (
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/internal/apipb"
)

// codes maps the coordinator's codes to Connect codes.
var codes = map[api.Code]connect.Code{
	api.CodeInvalidArgument:    connect.CodeInvalidArgument,
	api.CodeNotFound:           connect.CodeNotFound,
	api.CodeAlreadyExists:      connect.CodeAlreadyExists,
	api.CodeFailedPrecondition: connect.CodeFailedPrecondition,
	api.CodeResourceExhausted:  connect.CodeResourceExhausted,
	api.CodeUnavailable:        connect.CodeUnavailable,
	api.CodeInternal:           connect.CodeInternal,
}

// refused converts a refusal to an error of Connect.
func refused(e *api.Error) error {
	code, known := codes[e.Code]
	if !known {
		code = connect.CodeUnknown
	}
	failure := connect.NewError(code, errors.New(e.Reason))
	refusal := apipb.Message(&e.Refusal)
	if d, err := connect.NewErrorDetail(refusal); err == nil && proto.Size(refusal) > 0 {
		failure.AddDetail(d)
	}
	return failure
}

// invalid returns the error for an invalid field of a request; field is "" for the request itself.
func invalid(field, problem string) error {
	e := &api.Error{Code: api.CodeInvalidArgument, Reason: "the request " + problem}
	if field != "" {
		e.Reason, e.Violations = field+": "+problem, []api.Violation{{Field: field, Problem: problem}}
	}
	return refused(e)
}
