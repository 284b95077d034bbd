package saga

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxJSONDepth bounds how deep the JSON of a definition is nested: what the other
// limits allow, and some.
const maxJSONDepth = 2*MaxDepth + 2*MaxSchemaDepth + 32

// ParseJSON reads the JSON of a definition and checks it like New. It is strict:
// unknown fields, fields that are there twice and data behind the end are
// errors. What is wrong with the JSON itself is reported with its line and
// column; what is wrong with the definition as a *DefinitionError.
func ParseJSON(data []byte) (*Definition, error) {
	if len(data) > MaxDefinition {
		return nil, fmt.Errorf("definition: %d bytes; at most %d are allowed", len(data), MaxDefinition)
	}
	if err := checkJSON(data); err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var spec Spec
	if err := decoder.Decode(&spec); err != nil {
		return nil, fmt.Errorf("definition: %w", place(data, err))
	}
	return New(spec)
}

// place adds the line and column to an error of encoding/json and drops what
// speaks of Go.
func place(data []byte, err error) error {
	var syntax *json.SyntaxError
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mistyped):
		return fmt.Errorf("%s: %s holds a JSON %s, which does not belong there; see saga.Spec for what does",
			position(data, mistyped.Offset), cmp.Or(mistyped.Field, "the definition"), oneLine(mistyped.Value))
	case errors.As(err, &syntax):
		return fmt.Errorf("%s: %w", position(data, syntax.Offset-1), err)
	}
	return errors.New(oneLine(strings.TrimPrefix(err.Error(), "json: ")))
}

func position(data []byte, offset int64) string {
	before := data[:min(max(offset, 0), int64(len(data)))]
	line := 1 + bytes.Count(before, []byte("\n"))
	return fmt.Sprintf("line %d, column %d", line, len(before)-bytes.LastIndexByte(before, '\n'))
}

// checkJSON refuses invalid JSON, and what encoding/json lets pass: fields that
// are there twice, names that differ from ours in case only, and deep nesting.
func checkJSON(data []byte) error {
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return place(data, err)
	}
	s := scanner{data: data, decoder: json.NewDecoder(bytes.NewReader(data))}
	s.decoder.UseNumber()
	return s.value(false)
}

type scanner struct {
	data    []byte
	decoder *json.Decoder
	path    []string // names and indexes from the outside in
}

func (s *scanner) position() string { return position(s.data, s.decoder.InputOffset()) }

// value scans one value. Within a schema the names are the author's own.
func (s *scanner) value(schema bool) error {
	if len(s.path) > maxJSONDepth {
		return fmt.Errorf("%s: nested deeper than %d", s.position(), maxJSONDepth)
	}
	token, err := s.decoder.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		return s.object(schema)
	case json.Delim('['):
		return s.list(schema)
	}
	return nil
}

func (s *scanner) list(schema bool) error {
	for i := 0; s.decoder.More(); i++ {
		s.path = append(s.path, strconv.Itoa(i))
		if err := s.value(schema); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
	_, err := s.decoder.Token()
	return err
}

func (s *scanner) object(schema bool) error {
	seen := map[string]bool{}
	for s.decoder.More() {
		token, err := s.decoder.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string) // the JSON is valid, so it is one
		s.path = append(s.path, key)
		switch {
		case seen[key]:
			return fmt.Errorf("%s: the field %s is there twice; keep one", s.position(), s.at())
		case !schema && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_") != "":
			return fmt.Errorf("%s: unknown field %s; the names of fields are written in lower case", s.position(), s.at())
		}
		seen[key] = true
		if err := s.value(schema || key == "input" || key == "request" || key == "result"); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
	_, err := s.decoder.Token()
	return err
}

// at is the path of the current field, for a message.
func (s *scanner) at() string { return shorten(strings.Join(s.path, ".")) }
