package coordinator

import (
	"bytes"
	"context"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/definitionfile"
	"github.com/amends-dev/amends/saga/diagram"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// looksLikeJSON reports whether a definition is JSON: a brace followed by the quote of a key. The
// quote is needed because YAML may also begin with a brace.
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

// define registers a definition.
func (s *service) define(ctx context.Context, source []byte) (*transport.DefinitionReply, error) {
	def, err := parseDefinition(source)
	if err != nil {
		return nil, err
	}
	existed := s.c.definitions.has(def)
	if err := s.c.Register(ctx, def); err != nil {
		return nil, err
	}
	return s.definitionReply(def, existed), nil
}

// checkDefinition returns what define would return, but does not register the definition.
func (s *service) checkDefinition(source []byte) (*transport.DefinitionReply, error) {
	def, err := parseDefinition(source)
	if err != nil {
		return nil, err
	}
	if err := s.c.definitions.takes(def); err != nil {
		return nil, err
	}
	return s.definitionReply(def, s.c.definitions.has(def)), nil
}

func (s *service) definitionReply(def *saga.Definition, existed bool) *transport.DefinitionReply {
	return &transport.DefinitionReply{
		Definition: def.Ref(), Fingerprint: def.Fingerprint(), Existed: existed,
		Newest: s.c.definitions.isNewest(def.Ref()),
	}
}

// allDefinitions returns all definitions, sorted by name and version.
func (s *service) allDefinitions(ctx context.Context, _ *none) (*transport.DefinitionsReply, error) {
	counts, err := s.c.config.Store.Counts(ctx)
	if err != nil {
		return nil, err
	}
	byRef := map[contract.DefinitionRef][]transport.Count{}
	for _, n := range counts {
		byRef[n.Definition] = append(byRef[n.Definition], transport.Count(n))
	}
	all := s.c.definitions.all()
	reply := &transport.DefinitionsReply{Definitions: make([]transport.DefinitionReply, 0, len(all))}
	for _, def := range all {
		one := s.definitionReply(def, false)
		one.Counts = byRef[def.Ref()]
		f := s.c.projection.Definition(def.Ref())
		fare(def, &f, one, false)
		reply.Definitions = append(reply.Definitions, *one)
	}
	return reply, nil
}

// definition returns one definition with its content.
func (s *service) definition(ctx context.Context, ref contract.DefinitionRef) (*transport.DefinitionReply, error) {
	def, err := s.c.definitions.find(ref)
	if err != nil {
		return nil, err
	}
	reply := s.definitionReply(def, false)
	filter := store.Filter{Definition: def.Ref().Name, Version: def.Ref().Version}
	if reply.Counts, _, err = s.countSagas(ctx, &filter); err != nil {
		return nil, err
	}
	if reply.Source, err = def.MarshalJSON(); err != nil {
		return nil, err
	}
	reply.Mermaid = diagram.Mermaid(def)
	f := s.c.projection.Definition(def.Ref())
	fare(def, &f, reply, true)
	return reply, nil
}

// compareDefinitions returns the differences between two definitions.
func (s *service) compareDefinitions(_ context.Context, q *transport.CompareQuery) (*transport.CompareReply, error) {
	if (q.To.Name == "") == (q.ToSource == "") {
		return nil, violation("to", "give either to, a definition that is registered, or to_source, one that need not be")
	}
	from, err := s.c.definitions.find(q.From)
	if err != nil {
		return nil, err
	}
	var to *saga.Definition
	if q.ToSource != "" {
		to, err = parseDefinition([]byte(q.ToSource))
	} else {
		to, err = s.c.definitions.find(q.To)
	}
	if err != nil {
		return nil, err
	}
	found := saga.Compare(from, to)
	reply := &transport.CompareReply{Differences: make([]transport.Difference, len(found))}
	for i, d := range found {
		reply.Differences[i] = transport.Difference{Path: d.Path, Change: string(d.Change), From: d.From, To: d.To}
	}
	return reply, nil
}
