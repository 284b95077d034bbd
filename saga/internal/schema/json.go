package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/amends-dev/amends/saga/internal/quote"
)

// MarshalJSON encodes the schema as an example of the described data (see Schema).
func (s *Schema) MarshalJSON() ([]byte, error) {
	form, err := s.form()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(form); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// form returns a value whose JSON is the form of the schema.
func (s *Schema) form() (any, error) {
	form, err := s.solidForm()
	if err != nil || !s.Optional {
		return form, err
	}
	if word, ok := form.(string); ok {
		return word + "?", nil
	}
	return map[string]any{"?": form}, nil
}

// solidForm returns the form without the mark for optional values.
func (s *Schema) solidForm() (any, error) {
	switch s.Kind {
	case Object:
		fields := make(map[string]any, len(s.Fields))
		for name, field := range s.Fields {
			form, err := field.solidForm()
			if err != nil {
				return nil, err
			}
			fields[fieldKey(name, field.Optional)] = form
		}
		return fields, nil
	case Map, List:
		form, err := s.Items.form()
		if err != nil {
			return nil, err
		}
		if s.Kind == Map {
			return map[string]any{"*": form}, nil
		}
		return []any{form}, nil
	}
	return string(s.Kind), nil
}

// fieldKey returns the key of a field in the form. If the field is optional, a ? is appended. So
// that every name has a unique key, question marks at the end of the name are doubled, and a name
// that is empty or consists only of stars gets one more star.
func fieldKey(name string, optional bool) string {
	if strings.Trim(name, "*") == "" {
		name += "*"
	}
	name += strings.Repeat("?", len(name)-len(strings.TrimRight(name, "?")))
	if optional {
		name += "?"
	}
	return name
}

// fieldName is the inverse of fieldKey.
func fieldName(key string) (name string, optional bool) {
	name = strings.TrimRight(key, "?")
	marks := len(key) - len(name)
	if name != "" && strings.Trim(name, "*") == "" && marks < 2 {
		name = name[1:]
	}
	return name + strings.Repeat("?", marks/2), marks%2 == 1
}

// UnmarshalJSON decodes the form that MarshalJSON writes.
func (s *Schema) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var form any
	if err := decoder.Decode(&form); err != nil {
		return err
	}
	*s = Schema{}
	return s.read(form, "", 0)
}

const schemaWords = "any, string, int, double, bool, time, bytes"

func (s *Schema) read(form any, path string, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("schema is nested deeper than %d levels at %s; use any for the deeper levels", MaxDepth, quote.Short(path))
	}
	switch form := form.(type) {
	case string:
		return s.readWord(form, path)
	case []any:
		if len(form) != 1 {
			return fmt.Errorf(`schema%s: a list is written with one item, such as ["string"], not with %d`, at(path), len(form))
		}
		s.Kind, s.Items = List, &Schema{}
		return s.Items.read(form[0], path+"[]", depth+1)
	case map[string]any:
		return s.readObject(form, path, depth)
	}
	return fmt.Errorf("schema%s: %v is not a kind of value; write one of %s, or an object or list of them",
		at(path), form, schemaWords)
}

func (s *Schema) readWord(word, path string) error {
	word, s.Optional = strings.CutSuffix(word, "?")
	switch kind := Kind(word); kind {
	case Any, String, Time, Bytes, Int, Double, Bool:
		s.Kind = kind
		return nil
	}
	return fmt.Errorf("schema%s: %q is not a kind of value; write one of %s, or an object or list of them",
		at(path), quote.Short(word), schemaWords)
}

func (s *Schema) readObject(form map[string]any, path string, depth int) error {
	if len(form) == 1 {
		if items, ok := form["*"]; ok {
			s.Kind, s.Items = Map, &Schema{}
			return s.Items.read(items, path+"[*]", depth+1)
		}
		if inner, ok := form["?"]; ok {
			err := s.read(inner, path, depth) // the ? does not count as a level
			s.Optional = true
			return err
		}
	}
	s.Kind, s.Fields = Object, make(map[string]*Schema, len(form))
	var problems []error
	for _, key := range sortedKeys(form) {
		name, optional := fieldName(key)
		if name == "" {
			return fmt.Errorf(`schema%s: the field name %q cannot be used here; "*" and "?" must be the only field of an object`, at(path), key)
		}
		if _, twice := s.Fields[name]; twice {
			return fmt.Errorf("schema%s: the field %q is given twice; keep one", at(path), quote.Short(name))
		}
		field := &Schema{}
		if err := field.read(form[key], path+"."+name, depth+1); err != nil {
			problems = append(problems, err)
		}
		field.Optional = field.Optional || optional
		s.Fields[name] = field
	}
	return errors.Join(problems...)
}

// at returns the path in a schema for a message.
func at(path string) string {
	if path == "" {
		return ""
	}
	return " at " + quote.Short(path)
}
