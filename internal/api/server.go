package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/transport"
)

// MaxMessage bounds one message of a request, in bytes (I10): a start's input and
// a definition fit, with room for how JSON writes them. Beyond it: resource_exhausted.
const MaxMessage = 4 << 20

// Coordinator serves one request; coordinator.Coordinator does. method is one of the
// transport.API constants, query a pointer to what that says of the request's data, the answer
// one to what it says of the reply, and an error a *transport.RequestError.
type Coordinator interface {
	Serve(ctx context.Context, method string, request *transport.Envelope, query any) (answer any, err error)
}

// Config of the API's handlers. Coordinator is required.
type Config struct {
	Coordinator Coordinator
	// Ready says why no work is taken; nil: it is. It answers grpc.health.v1.
	// Default: always ready.
	Ready func(context.Context) error
	// Redact names JSON fields whose values are not shown in any answer, wherever they
	// stand in a payload, or as they are in a reason of the same saga; upper and lower case
	// of names are the same. A payload that is not JSON is not shown then, nor are the
	// reasons of its saga. Default: all is shown.
	Redact []string
	// MaxStreams bounds the streams of one caller that are open at once, and MaxWaits the
	// requests that are held until a saga has ended; of each there are ten times as many in
	// all. Further ones are refused with resource_exhausted.
	// Defaults: DefaultMaxStreams and DefaultMaxWaits.
	MaxStreams, MaxWaits int
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
}

// server implements the service.
type server struct {
	coordinator Coordinator
	clock       func() time.Time
	streams     limit // of those that are open
	waits       limit // of requests that are held
}

var _ apiv1connect.CoordinatorServiceHandler = (*server)(nil)

// Mount adds the API to a mux: the service, gRPC reflection, grpc.health.v1, and
// the OpenAPI document at /openapi.yaml. gRPC needs HTTP/2 of the http.Server,
// without TLS too: see http.Protocols.
func Mount(mux *http.ServeMux, c Config) {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	service := &server{
		coordinator: c.Coordinator, clock: c.Clock,
		streams: newLimit("streams", "max-streams", cmp.Or(c.MaxStreams, DefaultMaxStreams)),
		waits:   newLimit("requests that wait", "max-waits", cmp.Or(c.MaxWaits, DefaultMaxWaits)),
	}
	chain := []connect.Interceptor{deadlines{}, actor{}}
	if len(c.Redact) > 0 {
		chain = append(chain, newRedaction(c.Redact, c.Coordinator))
	}
	path, handler := apiv1connect.NewCoordinatorServiceHandler(service,
		connect.WithReadMaxBytes(MaxMessage), connect.WithCodec(codec{}),
		connect.WithInterceptors(chain...))
	mux.Handle(path, withConnection(handler))

	reflector := grpcreflect.NewStaticReflector(apiv1connect.CoordinatorServiceName, grpchealth.HealthV1ServiceName)
	mux.Handle(grpcreflect.NewHandlerV1(reflector))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector))
	mux.Handle(grpchealth.NewHandler(health{c.Ready}))
	mux.Handle("GET /openapi.yaml", http.HandlerFunc(document))
}

// health answers grpc.health.v1 for the whole process and for the service.
type health struct{ ready func(context.Context) error }

// Check is part of grpchealth.Checker.
func (h health) Check(ctx context.Context, r *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if r.Service != "" && r.Service != apiv1connect.CoordinatorServiceName {
		return nil, connect.NewError(connect.CodeNotFound, nil)
	}
	status := grpchealth.StatusServing
	if h.ready(ctx) != nil {
		status = grpchealth.StatusNotServing
	}
	return &grpchealth.CheckResponse{Status: status}, nil
}
