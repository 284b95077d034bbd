package httpapi

import (
	"cmp"
	"context"
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/transport"
)

// MaxMessage is the maximum size of a request message, in bytes (I10). It leaves room for a start's
// input or a definition, escaped as JSON. Larger messages are refused with resource_exhausted.
const MaxMessage = 4 << 20

// Coordinator serves requests; coordinator.Coordinator implements it. method is one of the
// api.Method constants, which document the types of request and response; request and response are
// pointers to these types. The envelope holds the caller and the trace. The error is an *api.Error.
type Coordinator interface {
	Serve(ctx context.Context, method string, envelope *transport.Envelope, request any) (response any, err error)
}

// Config configures the API's handlers. Coordinator is required.
type Config struct {
	Coordinator Coordinator
	// Ready returns nil if work is accepted, or else the reason. grpc.health.v1 uses it. Default:
	// always ready.
	Ready func(context.Context) error
	// Redact names JSON fields whose values are hidden in all answers; case does not matter. The
	// values are hidden in payloads at any depth, and where they appear verbatim in reasons of the
	// same saga. A payload that is not JSON is hidden, and so are the reasons of its saga. Default:
	// none.
	Redact []string
	// MaxStreams limits a caller's open streams. MaxWaits limits a caller's requests that wait for
	// the end of a saga. The limits for all callers together are ten times as high. Further
	// requests are refused with resource_exhausted. Defaults: DefaultMaxStreams and
	// DefaultMaxWaits.
	MaxStreams, MaxWaits int
}

// server implements the service.
type server struct {
	coordinator Coordinator
	streams     limit // limits open streams
	waits       limit // limits requests that wait
}

var _ apiv1connect.CoordinatorServiceHandler = (*server)(nil)

// Mount adds the API to a mux: the service, gRPC reflection, grpc.health.v1, and the OpenAPI
// document at /openapi.yaml. gRPC requires HTTP/2; without TLS, HTTP/2 must be enabled in the
// http.Server (see http.Protocols).
func Mount(mux *http.ServeMux, c Config) {
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	service := &server{
		coordinator: c.Coordinator,
		streams:     newLimit("streams", "max-streams", cmp.Or(c.MaxStreams, DefaultMaxStreams)),
		waits:       newLimit("requests that wait", "max-waits", cmp.Or(c.MaxWaits, DefaultMaxWaits)),
	}
	chain := []connect.Interceptor{deadlines{}, actor{}}
	if len(c.Redact) > 0 {
		chain = append(chain, newRedaction(c.Redact, c.Coordinator))
	}
	path, handler := apiv1connect.NewCoordinatorServiceHandler(service,
		connect.WithReadMaxBytes(MaxMessage), connect.WithCodec(codecs[0]), connect.WithCodec(codecs[1]),
		connect.WithInterceptors(chain...))
	mux.Handle(path, withConnection(handler))

	reflector := grpcreflect.NewStaticReflector(apiv1connect.CoordinatorServiceName, grpchealth.HealthV1ServiceName)
	mux.Handle(grpcreflect.NewHandlerV1(reflector))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector))
	mux.Handle(grpchealth.NewHandler(health{c.Ready}))
	mux.Handle("GET /openapi.yaml", http.HandlerFunc(document))
}

// health implements grpc.health.v1 for the whole process and for the service.
type health struct{ ready func(context.Context) error }

// Check implements grpchealth.Checker.
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
