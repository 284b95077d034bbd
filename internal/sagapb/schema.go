package sagapb

import (
	"fmt"

	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga"
)

func schemaMessage(s *saga.Schema) (*amendsv1.Schema, error) {
	if s == nil {
		return nil, nil
	}
	kind, err := schemaKinds.Required(s.Kind)
	if err != nil {
		return nil, err
	}
	m := &amendsv1.Schema{Kind: kind, Optional: s.Optional}
	if m.Items, err = schemaMessage(s.Items); err != nil {
		return nil, fmt.Errorf("items: %w", err)
	}
	if len(s.Fields) > 0 {
		m.Fields = make(map[string]*amendsv1.Schema, len(s.Fields))
	}
	for name, field := range s.Fields {
		if m.Fields[name], err = schemaMessage(field); err != nil {
			return nil, fmt.Errorf("field %.64q: %w", name, err)
		}
		if m.Fields[name] == nil {
			return nil, fmt.Errorf("field %.64q has no schema", name)
		}
	}
	return m, nil
}

func fromSchema(m *amendsv1.Schema) (*saga.Schema, error) {
	if m == nil {
		return nil, nil
	}
	kind, err := schemaKinds.RequiredWord(m.Kind)
	if err != nil {
		return nil, err
	}
	s := &saga.Schema{Kind: kind, Optional: m.Optional}
	if s.Items, err = fromSchema(m.Items); err != nil {
		return nil, fmt.Errorf("items: %w", err)
	}
	if len(m.Fields) > 0 {
		s.Fields = make(map[string]*saga.Schema, len(m.Fields))
	}
	for name, field := range m.Fields {
		if s.Fields[name], err = fromSchema(field); err != nil {
			return nil, fmt.Errorf("field %.64q: %w", name, err)
		}
	}
	return s, nil
}
