package api

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/amends-dev/amends/access"
	"github.com/amends-dev/amends/contract"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// signature writes the name of a caller who is known into the decisions that he
// sends: histories say who it was, not who he says he was.
type signature struct{}

func (signature) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		signed(ctx, r.Any())
		return next(ctx, r)
	}
}

func (signature) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (signature) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return next(ctx, signedConn{StreamingHandlerConn: conn, ctx: ctx})
	}
}

// signedConn is a stream whose messages are signed as they come.
type signedConn struct {
	connect.StreamingHandlerConn

	ctx context.Context //nolint:containedctx // of the stream, whose interface has none
}

// Receive reads the next message.
func (c signedConn) Receive(message any) error {
	if err := c.StreamingHandlerConn.Receive(message); err != nil {
		return err
	}
	signed(c.ctx, message)
	return nil
}

func signed(ctx context.Context, message any) {
	caller, ok := access.From(ctx)
	m, isProto := message.(proto.Message)
	if !ok || !isProto || caller.Name == "" {
		return // nobody is asked for a name here
	}
	sign(m.ProtoReflect(), caller.Name)
}

// sign finds the decisions in a request, which hold no others.
func sign(m protoreflect.Message, name string) {
	switch d := m.Interface().(type) {
	case *apiv1.Decision:
		d.By = transport.Cut(name, contract.MaxReason) // it is not theirs to shorten
		return
	case *apiv1.ReplayDeadLettersRequest:
		d.By = name
	case *apiv1.DiscardDeadLettersRequest:
		d.By = name
	case *apiv1.PurgeDeadLettersRequest:
		d.By = name
	case *apiv1.RemoveDamagedRequest:
		d.By = transport.Cut(name, contract.MaxReason)
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range value.List().Len() {
				sign(value.List().Get(i).Message(), name)
			}
		default:
			sign(value.Message(), name)
		}
		return true
	})
}
