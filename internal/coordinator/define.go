package coordinator

import (
	"bytes"
	"context"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/definitionfile"
	"github.com/amends-dev/amends/saga/diagram"
	"github.com/amends-dev/amends/store"
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

// registerDefinition registers a definition, or only validates it.
func (s *service) registerDefinition(ctx context.Context, q *api.RegisterDefinitionRequest) (*api.RegisterDefinitionResponse, error) {
	def, err := parseDefinition([]byte(q.Source))
	if err != nil {
		return nil, err
	}
	existed := s.c.definitions.has(def)
	if q.DryRun {
		err = s.c.definitions.takes(def)
	} else {
		err = s.c.Register(ctx, def)
	}
	if err != nil {
		return nil, err
	}
	return &api.RegisterDefinitionResponse{Definition: s.described(def), Existed: existed}, nil
}

// described returns a definition as lists show it.
func (s *service) described(def *saga.Definition) *api.Definition {
	return &api.Definition{Ref: def.Ref(), Fingerprint: def.Fingerprint(), Newest: s.c.definitions.isNewest(def.Ref())}
}

// listDefinitions returns definitions, sorted by name and version.
func (s *service) listDefinitions(ctx context.Context, q *api.ListDefinitionsRequest) (*api.ListDefinitionsResponse, error) {
	counts, err := s.c.config.Store.Counts(ctx)
	if err != nil {
		return nil, err
	}
	byRef := map[contract.DefinitionRef][]api.Count{}
	for _, n := range counts {
		byRef[n.Definition] = append(byRef[n.Definition], api.Count(n))
	}
	all := s.c.definitions.all()
	reply := &api.ListDefinitionsResponse{}
	for _, def := range all {
		if q.Name != "" && q.Name != def.Ref().Name {
			continue
		}
		one := s.described(def)
		one.Counts = byRef[def.Ref()]
		f := s.c.projection.Definition(def.Ref())
		fare(def, &f, one, false)
		reply.Definitions = append(reply.Definitions, *one)
	}
	return reply, nil
}

// getDefinition returns one definition with its content.
func (s *service) getDefinition(ctx context.Context, q *api.GetDefinitionRequest) (*api.GetDefinitionResponse, error) {
	if err := checkVersion("definition.version", q.Definition.Version); err != nil {
		return nil, err
	}
	def, err := s.c.definitions.find(q.Definition)
	if err != nil {
		return nil, err
	}
	reply := s.described(def)
	filter := store.Filter{Definition: def.Ref().Name, Version: def.Ref().Version}
	if reply.Counts, _, err = s.countSagas(ctx, &filter); err != nil {
		return nil, err
	}
	if reply.Canonical, err = def.MarshalJSON(); err != nil {
		return nil, err
	}
	reply.Mermaid = diagram.Mermaid(def)
	f := s.c.projection.Definition(def.Ref())
	fare(def, &f, reply, true)
	return &api.GetDefinitionResponse{Definition: reply}, nil
}

// compareDefinitions returns the differences between two definitions.
func (s *service) compareDefinitions(_ context.Context, q *api.CompareDefinitionsRequest) (*api.CompareDefinitionsResponse, error) {
	if (q.To.Name == "") == (q.ToSource == "") {
		return nil, violation("to", "give exactly one of to (a registered definition) and toSource (the text of a definition)")
	}
	for field, ref := range map[string]contract.DefinitionRef{"from.version": q.From, "to.version": q.To} {
		if err := checkVersion(field, ref.Version); err != nil {
			return nil, err
		}
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
	reply := &api.CompareDefinitionsResponse{Differences: make([]api.Difference, len(found))}
	for i, d := range found {
		reply.Differences[i] = api.Difference{Path: d.Path, Change: string(d.Change), From: d.From, To: d.To}
	}
	return reply, nil
}
