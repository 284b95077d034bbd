package api

import (
	"context"

	"connectrpc.com/connect"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/transport"
)

// RegisterDefinition stores a definition, or only validates it.
func (s *server) RegisterDefinition(ctx context.Context, r *connect.Request[apiv1.RegisterDefinitionRequest]) (*connect.Response[apiv1.RegisterDefinitionResponse], error) {
	method := transport.APIDefine
	if r.Msg.DryRun {
		method = transport.APICheckDefinition
	}
	reply, err := ask[transport.DefinitionReply](ctx, s.coordinator, method, &transport.Envelope{Data: []byte(r.Msg.Source)})
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

// GetDefinition returns a definition with its content.
func (s *server) GetDefinition(ctx context.Context, r *connect.Request[apiv1.GetDefinitionRequest]) (*connect.Response[apiv1.GetDefinitionResponse], error) {
	ref, err := definitionRef("ref", r.Msg.Ref)
	if err != nil {
		return nil, err
	}
	reply, err := ask[transport.DefinitionReply](ctx, s.coordinator, transport.APIDefinition, &transport.Envelope{Definition: ref})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.GetDefinitionResponse{Definition: definitionMessage(reply)}), nil
}

// CompareDefinitions returns the differences between two definitions.
func (s *server) CompareDefinitions(ctx context.Context, r *connect.Request[apiv1.CompareDefinitionsRequest]) (*connect.Response[apiv1.CompareDefinitionsResponse], error) {
	from, err := definitionRef("from", r.Msg.From)
	if err != nil {
		return nil, err
	}
	to, err := definitionRef("to", r.Msg.To)
	if err != nil {
		return nil, err
	}
	reply, err := query[transport.CompareReply](ctx, s.coordinator, transport.APICompareDefinitions, &transport.Envelope{},
		&transport.CompareQuery{From: from, To: to, ToSource: r.Msg.ToSource})
	if err != nil {
		return nil, err
	}
	out := &apiv1.CompareDefinitionsResponse{}
	for _, d := range reply.Differences {
		out.Differences = append(out.Differences, &apiv1.Difference{Path: d.Path, Change: d.Change, From: d.From, To: d.To})
	}
	return connect.NewResponse(out), nil
}

func definitionMessage(d *transport.DefinitionReply) *apiv1.Definition {
	return &apiv1.Definition{
		Ref: refMessage(d.Definition), Fingerprint: d.Fingerprint, Newest: d.Newest,
		Counts: countMessages(d.Counts), Source: string(d.Source), Mermaid: d.Mermaid,
		Steps: stepFigures(d.Steps), Duration: latencyMessage(d.Duration),
	}
}

func countMessages(counts []transport.Count) []*apiv1.Count {
	var out []*apiv1.Count
	for _, n := range counts {
		out = append(out, &apiv1.Count{Definition: refMessage(n.Definition), Phase: string(n.Phase), Sagas: int64(n.Sagas), Ended: int64(n.Ended)})
	}
	return out
}
