package api

import (
	"context"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// RegisterDefinition stores a definition, or only checks it.
func (s *server) RegisterDefinition(ctx context.Context, r *connect.Request[apiv1.RegisterDefinitionRequest]) (*connect.Response[apiv1.RegisterDefinitionResponse], error) {
	verb := transport.APIDefine
	if r.Msg.DryRun {
		verb = transport.APICheckDefinition
	}
	reply, err := ask[transport.DefinitionReply](ctx, s.coordinator, verb, &transport.Envelope{Data: []byte(r.Msg.Source)})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.RegisterDefinitionResponse{Definition: definitionMessage(reply), Existed: reply.Existed}), nil
}

// ListDefinitions lists all definitions.
func (s *server) ListDefinitions(ctx context.Context, r *connect.Request[apiv1.ListDefinitionsRequest]) (*connect.Response[apiv1.ListDefinitionsResponse], error) {
	reply, err := ask[transport.DefinitionsReply](ctx, s.coordinator, transport.APIDefinitions, &transport.Envelope{})
	if err != nil {
		return nil, err
	}
	out := &apiv1.ListDefinitionsResponse{}
	for i := range reply.Definitions {
		if d := &reply.Definitions[i]; r.Msg.Name == "" || r.Msg.Name == d.Definition.Name {
			out.Definitions = append(out.Definitions, definitionMessage(d))
		}
	}
	return connect.NewResponse(out), nil
}

func definitionMessage(d *transport.DefinitionReply) *apiv1.Definition {
	return &apiv1.Definition{Ref: refMessage(d.Definition), Fingerprint: d.Fingerprint, Newest: d.Newest}
}
