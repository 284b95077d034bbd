package saga_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/definitionfile"
)

// TestDefinitionsRoundTrip checks that a definition is equivalent in Go, JSON and YAML.
func TestDefinitionsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, err := saga.New(drawSpec(t))
		if err != nil {
			t.Fatalf("a valid spec is refused: %v", err)
		}
		again := func(form string, data []byte, err error, parse func([]byte) (*saga.Definition, error)) {
			if err != nil {
				t.Fatalf("write %s: %v", form, err)
			}
			got, err := parse(data)
			if err != nil {
				t.Fatalf("read %s: %v\n%s", form, err, data)
			}
			if got.Fingerprint() != d.Fingerprint() {
				t.Fatalf("%s has another fingerprint:\n%s", form, data)
			}
		}
		data, err := d.MarshalJSON()
		again("JSON", data, err, saga.ParseJSON)
		data, err = json.Marshal(d)
		again("escaped JSON", data, err, saga.ParseJSON)
		data, err = definitionfile.JSON(d)
		again("indented JSON", data, err, saga.ParseJSON)
		again("JSON as YAML", data, err, definitionfile.ParseYAML)
		data, err = definitionfile.YAML(d)
		again("YAML", data, err, definitionfile.ParseYAML)
		same, err := saga.New(d.Spec())
		if err != nil || same.Fingerprint() != d.Fingerprint() {
			t.Fatalf("its own spec: %v", err)
		}
	})
}

// specs draws valid specs: compensable steps in any structure, sometimes a pivot, then retriable
// steps in any structure.
type specs struct {
	*rapid.T
	names map[string]bool
	done  []string // CEL names of steps that are certainly done
}

func drawSpec(t *rapid.T) saga.Spec {
	s := &specs{T: t, names: map[string]bool{}}
	spec := saga.Spec{
		Name:     s.name("definition"),
		Version:  rapid.IntRange(1, 1_000_000_000).Draw(t, "version"),
		Deadline: s.duration("deadline"),
		Timeout:  s.duration("timeout"),
		Retry:    s.retry("retry"),
		Input:    s.schema("input"),
		Steps:    s.series(contract.KindCompensable, 0),
	}
	if rapid.Bool().Draw(t, "pivot") {
		spec.Steps = append(spec.Steps, s.step(contract.KindPivot))
	}
	spec.Steps = append(spec.Steps, s.series(contract.KindRetriable, 0)...)
	return spec
}

func (s *specs) series(kind contract.Kind, depth int) []saga.Node {
	var nodes []saga.Node
	for range rapid.IntRange(1, 3).Draw(s.T, "length") {
		nodes = append(nodes, s.node(kind, depth))
	}
	return nodes
}

func (s *specs) node(kind contract.Kind, depth int) saga.Node {
	shape := rapid.IntRange(0, 3).Draw(s.T, "shape")
	switch {
	case depth > 3 || shape < 2:
		return s.step(kind)
	case shape == 2:
		return saga.Node{Sequence: s.series(kind, depth+1)}
	}
	before := s.done
	var branches []saga.Node
	var after []string
	for range rapid.IntRange(1, 3).Draw(s.T, "branches") {
		s.done = before
		branches = append(branches, s.node(kind, depth+1))
		after = append(after, s.done[len(before):]...)
	}
	s.done = slices.Concat(before, after)
	return saga.Node{Parallel: branches}
}

func (s *specs) step(kind contract.Kind) saga.Node {
	step := &saga.Step{Name: contract.StepName(s.name("step")), Kind: kind, Do: s.action("do")}
	step.Do.With, step.Do.Request, step.Do.Result = s.mapping(), nil, s.schema("result")
	if kind == contract.KindCompensable {
		if step.NothingToUndo = rapid.Bool().Draw(s.T, "nothing to undo"); !step.NothingToUndo {
			undo := s.action("undo")
			undo.Participant = step.Do.Participant
			step.Undo = &undo
		}
	}
	done := make([]rune, 0, len(step.Name))
	for _, c := range string(step.Name) {
		if c == '-' {
			c = '_'
		}
		done = append(done, c)
	}
	s.done = append(slices.Clip(s.done), string(done))
	return saga.Node{Step: step}
}

func (s *specs) mapping() string {
	texts := []string{"", "input", `{"a": 1, "<&>": "é\n"}`, "{\n  \"a\": [1.5, true],\n}", `has(dyn({}).x) ? 1 : 2`}
	for _, name := range s.done {
		texts = append(texts, fmt.Sprintf("has(result.%s)", "`"+name+"`"))
	}
	return rapid.SampledFrom(texts).Draw(s.T, "with")
}

func (s *specs) action(which string) saga.Action {
	return saga.Action{
		Participant: rapid.SampledFrom([]string{"a", "yes", "on", "true", "null", "x-1"}).Draw(s.T, "participant"),
		Action:      which + "-it",
		Timeout:     s.duration("timeout"),
		Retry:       s.retry(which),
	}
}

func (s *specs) duration(label string) saga.Duration {
	return saga.Duration(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, int64(time.Hour)),
		rapid.Map(rapid.Int64Range(0, 8784), func(h int64) int64 { return h * int64(time.Hour) })).Draw(s.T, label))
}

func (s *specs) retry(label string) saga.RetryPolicy {
	return saga.RetryPolicy{
		Attempts: rapid.IntRange(0, saga.MaxAttempts).Draw(s.T, label+" attempts"),
		// These bounds ensure that no initial interval exceeds a maximum from a different layer.
		InitialInterval: saga.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(s.T, label+" first")),
		MaxInterval:     saga.Duration(rapid.Int64Range(int64(time.Second), int64(time.Hour)).Draw(s.T, label+" cap")),
	}
}

func (s *specs) name(label string) string {
	return rapid.StringMatching(`[a-z][a-z0-9-]{0,9}|y|no|true`).Filter(func(name string) bool {
		taken := s.names[name]
		s.names[name] = true
		return !taken
	}).Draw(s.T, label)
}

func (s *specs) schema(label string) *saga.Schema {
	if rapid.Bool().Draw(s.T, label+" is known") {
		return s.data(label, 0)
	}
	return nil
}

func (s *specs) data(label string, depth int) *saga.Schema {
	kinds := []saga.SchemaKind{saga.SchemaAny, saga.SchemaString, saga.SchemaTime, saga.SchemaBytes,
		saga.SchemaInt, saga.SchemaDouble, saga.SchemaBool}
	if depth < 3 {
		kinds = append(kinds, saga.SchemaObject, saga.SchemaList, saga.SchemaMap)
	}
	d := &saga.Schema{
		Kind:     rapid.SampledFrom(kinds).Draw(s.T, label),
		Optional: rapid.Bool().Draw(s.T, label+" is optional"),
	}
	switch d.Kind {
	case saga.SchemaList, saga.SchemaMap:
		d.Items = s.data(label, depth+1)
	case saga.SchemaObject:
		d.Fields = map[string]*saga.Schema{}
		for _, name := range rapid.SliceOfN(rapid.OneOf(rapid.StringMatching(`[a-z*?]{1,4}`),
			rapid.SampledFrom([]string{"y", "no", "on", "null", "1", "true", "<", "é", "a b", "#", "input"})), 0, 4).Draw(s.T, label+" fields") {
			d.Fields[name] = s.data(label+"."+name, depth+1)
		}
	}
	return d
}
