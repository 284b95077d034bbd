package coordinator

import (
	"bytes"
	"context"

	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/definitionfile"
	"github.com/amends-dev/amends/transport"
)

// looksLikeJSON reports whether a definition is meant as JSON: a brace and behind
// it the quote of a key. YAML may begin with a brace as well.
func looksLikeJSON(data []byte) bool {
	rest, brace := bytes.CutPrefix(bytes.TrimSpace(data), []byte("{"))
	rest = bytes.TrimSpace(rest)
	return len(rest) == 0 || brace && (rest[0] == '"' || rest[0] == '}')
}

// parseDefinition reads a definition from JSON or YAML.
func parseDefinition(data []byte) (*saga.Definition, error) {
	parse := definitionfile.ParseYAML
	if looksLikeJSON(data) {
		parse = saga.ParseJSON
	}
	def, err := parse(data)
	if err != nil {
		return nil, &badRequest{why: err.Error(), cause: err}
	}
	return def, nil
}

func (c *Coordinator) apiDefine(ctx context.Context, request *transport.Envelope) (any, error) {
	def, err := parseDefinition(request.Data)
	if err != nil {
		return nil, err
	}
	existed := c.definitions.has(def)
	if err := c.Register(ctx, def); err != nil {
		return nil, err
	}
	return c.definitionReply(def, existed), nil
}

func (c *Coordinator) apiCheckDefinition(_ context.Context, request *transport.Envelope) (any, error) {
	def, err := parseDefinition(request.Data)
	if err != nil {
		return nil, err
	}
	if err := c.definitions.takes(def); err != nil {
		return nil, err
	}
	return c.definitionReply(def, c.definitions.has(def)), nil
}

func (c *Coordinator) definitionReply(def *saga.Definition, existed bool) transport.DefinitionReply {
	return transport.DefinitionReply{
		Definition: def.Ref(), Fingerprint: def.Fingerprint(), Existed: existed,
		Newest: c.definitions.isNewest(def.Ref()),
	}
}

func (c *Coordinator) apiDefinitions(context.Context, *transport.Envelope) (any, error) {
	all := c.definitions.all()
	reply := transport.DefinitionsReply{Definitions: make([]transport.DefinitionReply, 0, len(all))}
	for _, def := range all {
		reply.Definitions = append(reply.Definitions, c.definitionReply(def, false))
	}
	return reply, nil
}
