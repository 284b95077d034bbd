package saga

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/quote"
)

// maxJSONDepth bounds the nesting of a definition's JSON. It exceeds what the other limits allow.
const maxJSONDepth = 2*MaxDepth + 2*MaxSchemaDepth + 32

// ParseJSON parses the JSON of a definition and checks it as New does. It is strict: unknown
// fields, duplicate fields and trailing data are errors. Text that is not JSON is reported with its
// line and column. All problems of the definition, in its form or its meaning, are reported at once
// in a *DefinitionError.
func ParseJSON(data []byte) (*Definition, error) {
	if len(data) > MaxDefinition {
		return nil, fmt.Errorf("definition: %d bytes; at most %d are allowed", len(data), MaxDefinition)
	}
	if err := checkJSON(data); err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	var spec Spec
	start := len(data) - len(bytes.TrimLeft(data, " \t\r\n"))
	f := form{data: data}
	f.read("", jsonValue{raw: bytes.TrimSpace(data), at: int64(start)}, reflect.ValueOf(&spec).Elem())
	if len(f.problems) == 0 {
		return New(spec)
	}
	return nil, &DefinitionError{Definition: quote.Short(spec.Name), Problems: f.andThose(spec)}
}

// andThose returns the problems of the form, and the problems that New finds in the parts that
// could be read. It omits a problem of New that only follows from a problem of the form.
func (f *form) andThose(spec Spec) []Problem {
	problems := f.problems
	_, err := New(spec)
	if found, ok := errors.AsType[*DefinitionError](err); ok && problems[0].Path != "definition" {
		for _, p := range found.Problems {
			path := stepNames.ReplaceAllString(p.Path, "")
			if !slices.ContainsFunc(f.problems, func(q Problem) bool { return path == q.Path || strings.HasPrefix(path, q.Path+".") }) {
				problems = append(problems, p)
			}
		}
	}
	if len(problems) > maxProblems {
		problems = append(problems[:maxProblems:maxProblems], moreProblems)
	}
	return problems
}

// stepNames matches the step names that a problem's path contains for readers, such as
// (charge-card).
var stepNames = regexp.MustCompile(` \([^)]*\)`)

// place adds the line and column to an error of encoding/json, and removes references to Go.
func place(data []byte, err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%s: %w", quote.Position(data, syntax.Offset-1), err)
	}
	return errors.New(quote.Line(strings.TrimPrefix(err.Error(), "json: ")))
}

// checkJSON returns an error for text that contract.CheckJSON refuses, and for deep nesting.
func checkJSON(data []byte) error {
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return place(data, err)
	}
	wrong, _ := errors.AsType[*contract.JSONError](contract.CheckJSONDepth(data, maxJSONDepth))
	if wrong == nil || wrong.Twice { // form reports duplicates with the path of the field
		return nil
	}
	return fmt.Errorf("%s: %s", quote.Position(data, int64(wrong.At)), wrong.Why)
}
