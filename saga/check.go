package saga

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/mapping"
	"github.com/amends-dev/amends/saga/internal/quote"
)

// maxVersion bounds a definition's version, so that the version fits every technology that stores
// or transmits it.
const maxVersion = 1_000_000_000

// New checks a definition that is given as data, and returns it in usable form. The error is a
// *DefinitionError that lists all problems. The definition keeps a copy of the spec.
func New(spec Spec) (*Definition, error) { return build(spec, nil, nil) }

// build does the work of New and Define. Define passes problems that are not visible in the data.
func build(spec Spec, mixed map[*Step]string, problems []Problem) (*Definition, error) {
	c := checker{spec: &spec, mixed: mixed, problems: problems, names: map[contract.StepName]string{}, broken: map[*Schema]bool{}}
	c.head()
	c.walk()
	if len(c.problems) < maxProblems {
		c.order()
		c.mappings()
	}
	if len(c.problems) > 0 {
		return nil, &DefinitionError{Definition: quote.Short(spec.Name), Problems: c.list()}
	}
	d, err := c.finish()
	if err != nil {
		return nil, err
	}
	return d, nil
}

// checker walks a spec once, and collects the parts of the definition.
type checker struct {
	spec     *Spec
	mixed    map[*Step]string
	problems []Problem
	names    map[contract.StepName]string // paths of the steps so far, by name
	steps    []checkedStep
	tree     compensation.Node
	compiled []*mapping.Mapping // by step number
	notes    []Problem
	broken   map[*Schema]bool
}

type checkedStep struct {
	*Step
	path string
}

func (c *checker) add(path, what, fix string) {
	if len(c.problems) <= maxProblems {
		c.problems = append(c.problems, Problem{path, what, fix})
	}
}

// list returns the problems in the order of the steps, truncated to maxProblems.
func (c *checker) list() []Problem {
	rank := func(p Problem) int {
		return 1 + slices.IndexFunc(c.steps, func(s checkedStep) bool { return strings.HasPrefix(p.Path, s.path) })
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return rank(a) - rank(b) })
	if len(c.problems) <= maxProblems {
		return c.problems
	}
	return append(c.problems[:maxProblems:maxProblems], moreProblems)
}

func (c *checker) name(path, what, name string) {
	if bad, ok := errors.AsType[*contract.NameError](contract.CheckName(what, name)); ok {
		c.add(path, fmt.Sprintf("%s name %q cannot be used", what, bad.Name), bad.Why)
	}
}

// head checks the fields of the whole definition.
func (c *checker) head() {
	c.name("name", "definition", c.spec.Name)
	if c.spec.Version < 1 || c.spec.Version > maxVersion {
		c.add("version", fmt.Sprintf("is %d", c.spec.Version), fmt.Sprintf("versions go from 1 to %d", maxVersion))
	}
	c.duration("deadline", c.spec.Deadline)
	c.duration("timeout", c.spec.Timeout)
	c.retry("retry", c.spec.Retry, c.spec.Retry)
	c.schema("input", c.spec.Input)
}

func (c *checker) duration(path string, d Duration) {
	switch {
	case d < 0:
		c.add(path, fmt.Sprintf("is negative (%s)", d), "give a duration such as 30s, or none for the default")
	case d > Duration(MaxTimeout):
		c.add(path, fmt.Sprintf("is %s", d), fmt.Sprintf("at most %s is allowed", Duration(MaxTimeout)))
	}
}

// retry checks the policy that the author has written. It compares the intervals of used, which is
// the policy with the defaults filled in.
func (c *checker) retry(path string, written, used RetryPolicy) {
	if written.Attempts < 0 || written.Attempts > MaxAttempts {
		c.add(path+".attempts", fmt.Sprintf("is %d", written.Attempts),
			fmt.Sprintf("give 1 (never again) to %d, or none for the default", MaxAttempts))
	}
	c.duration(path+".initialInterval", written.InitialInterval)
	c.duration(path+".maxInterval", written.MaxInterval)
	if used.InitialInterval > 0 && used.MaxInterval > 0 && used.MaxInterval < used.InitialInterval && written != (RetryPolicy{}) {
		c.add(path+".maxInterval", fmt.Sprintf("the longest wait (%s) is shorter than the first (%s)", used.MaxInterval, used.InitialInterval),
			"make maxInterval at least as long as the first wait")
	}
}

func (c *checker) schema(path string, s *Schema) {
	if s == nil {
		return
	}
	if err := s.Check(); err != nil {
		c.broken[s] = true
		c.add(path, err.Error(), "describe data that JSON can hold, within the limits, or leave the schema out")
	}
}

// sound returns the schema, or nil (which accepts anything) if a problem with the schema was
// reported.
func (c *checker) sound(s *Schema) *Schema {
	if c.broken[s] {
		return nil
	}
	return s
}

// action checks one direction of a step.
func (c *checker) action(path string, a *Action, kind contract.Kind, dir contract.Direction) {
	if a.Participant == "" && a.Action == "" {
		c.add(path, "names no action", "name the participant and its action")
	} else {
		c.name(path+".participant", "participant", a.Participant)
		c.name(path+".action", "action", a.Action)
	}
	c.duration(path+".timeout", a.Timeout)
	c.retry(path+".retry", a.Retry, a.withDefaults(c.spec, kind, dir).Retry)
	c.schema(path+".request", a.Request)
	c.schema(path+".result", a.Result)
	switch {
	case len(a.With) > MaxExpression:
		c.add(path+".with", fmt.Sprintf("the expression is %d bytes long", len(a.With)),
			fmt.Sprintf("at most %d are allowed; move the work into the participant", MaxExpression))
	case !utf8.ValidString(a.With):
		c.add(path+".with", "the expression is not valid UTF-8", "write it in UTF-8")
	}
}

// step checks everything about a step except for its position in the tree.
func (c *checker) step(s *Step, path string) {
	c.name(path+".name", "step", string(s.Name))
	if first, twice := c.names[s.Name]; twice {
		c.add(path+".name", "the name is taken by "+first, "give every step of the definition its own name")
	} else if s.Name != "" {
		c.names[s.Name] = path
	}
	c.action(path+".do", &s.Do, s.Kind, contract.DirectionDo)
	if s.Undo == nil {
		return
	}
	c.action(path+".undo", s.Undo, s.Kind, contract.DirectionUndo)
	if s.NothingToUndo {
		c.add(path+".nothingToUndo", "the step has an undo, but also nothingToUndo", "keep one of the two")
	}
	c.pair(s, path+".undo")
}

// pair checks that the undo is compatible with the do.
func (c *checker) pair(s *Step, path string) {
	undo := s.Undo
	if undo.With != "" {
		c.add(path+".with", "an undo takes no mapping", "remove it: an undo receives the request and the result of its do")
	}
	if undo.Participant != "" && undo.Participant != s.Do.Participant {
		c.add(path+".participant", fmt.Sprintf("the undo is at %q, the do at %q", quote.Short(undo.Participant), quote.Short(s.Do.Participant)),
			"use the participant of the do: only its inbox knows whether the do was executed")
	}
	if undo.Action != "" && undo.Action == s.Do.Action && undo.Participant == s.Do.Participant {
		c.add(path+".action", "the undo is the same action as the do", "name the action that reverts the do")
	}
	if why, ok := c.mixed[s]; ok {
		c.add(path, why, "make it with contract.UndoOf from the command of the do")
	}
	for _, side := range []struct {
		name     string
		own, its *Schema
	}{{"request", undo.Request, s.Do.Request}, {"result", undo.Result, s.Do.Result}} {
		if side.own != nil && !c.broken[side.own] && !c.broken[side.its] && !side.own.Equal(side.its) {
			c.add(path+"."+side.name, "differs from the "+side.name+" of the do",
				"remove it: an undo receives the request and the result of its do")
		}
	}
}

// order checks the kinds of steps and their order, with package compensation.
func (c *checker) order() {
	for _, p := range compensation.Check(&c.tree) {
		path := "steps"
		if p.Step >= 0 {
			path = c.steps[p.Step].path
		}
		c.add(path, p.What, p.Fix)
	}
}

// finish creates the definition from a spec that has no problems.
func (c *checker) finish() (*Definition, error) {
	canonical, err := canonicalJSON(c.spec)
	if err != nil {
		return nil, fmt.Errorf("write definition %s as JSON: %w", c.spec.Name, err)
	}
	if len(canonical) > MaxDefinition {
		return nil, &DefinitionError{c.spec.Name, []Problem{{"definition",
			fmt.Sprintf("is %d bytes long as JSON", len(canonical)),
			fmt.Sprintf("at most %d are allowed; split it, or move work into the participants", MaxDefinition)}}}
	}
	d := &Definition{notes: c.notes, canonical: canonical, index: map[contract.StepName]int{}}
	if err := json.Unmarshal(canonical, &d.spec); err != nil { // a copy that nobody else can change
		return nil, fmt.Errorf("read definition %s back: %w", c.spec.Name, err)
	}
	d.collect(d.spec.Steps, c.compiled)
	d.plan = d.makePlan(c.tree)
	return d, nil
}

// collect numbers the steps from left to right.
func (d *Definition) collect(nodes []Node, compiled []*mapping.Mapping) {
	for i := range nodes {
		if s := nodes[i].Step; s != nil {
			n := len(d.steps)
			step := compiledStep{Step: *s, do: s.Do.withDefaults(&d.spec, s.Kind, contract.DirectionDo), request: compiled[n]}
			if s.Undo != nil {
				undo := s.Undo.withDefaults(&d.spec, s.Kind, contract.DirectionUndo)
				step.undo = &undo
			}
			d.index[s.Name] = n
			d.steps = append(d.steps, step)
			continue
		}
		d.collect(nodes[i].Parallel, compiled)
		d.collect(nodes[i].Sequence, compiled)
	}
}
