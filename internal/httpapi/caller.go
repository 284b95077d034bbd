package httpapi

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/access"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// actor sets the actor of operations to the authenticated caller's name. Histories then show the
// authenticated name, and not a name that the request claims.
type actor struct{}

func (actor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		setCaller(ctx, r.Any())
		return next(ctx, r)
	}
}

func (actor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (actor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return next(ctx, actorConn{StreamingHandlerConn: conn, ctx: ctx})
	}
}

// actorConn sets the actor in each message of a stream.
type actorConn struct {
	connect.StreamingHandlerConn

	ctx context.Context //nolint:containedctx // of the stream, whose interface has none
}

// Receive reads the next message.
func (c actorConn) Receive(message any) error {
	if err := c.StreamingHandlerConn.Receive(message); err != nil {
		return err
	}
	setCaller(c.ctx, message)
	return nil
}

func setCaller(ctx context.Context, message any) {
	caller, ok := access.From(ctx)
	m, isProto := message.(proto.Message)
	if !ok || !isProto || caller.Name == "" {
		return // no authentication is configured
	}
	setActor(m.ProtoReflect(), caller.Name)
}

// setActor sets the actor of all operations in a request.
func setActor(m protoreflect.Message, name string) {
	switch d := m.Interface().(type) {
	case *apiv1.Decision:
		d.By = contract.Cut(name, contract.MaxReason) // the caller cannot shorten their own name
		return
	case *apiv1.ReplayDeadLettersRequest:
		d.By = name
	case *apiv1.DiscardDeadLettersRequest:
		d.By = name
	case *apiv1.PurgeDeadLettersRequest:
		d.By = name
	case *apiv1.RemoveDamagedRequest:
		d.By = contract.Cut(name, contract.MaxReason)
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range value.List().Len() {
				setActor(value.List().Get(i).Message(), name)
			}
		default:
			setActor(value.Message(), name)
		}
		return true
	})
}
