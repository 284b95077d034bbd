package saga

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amends-dev/amends/compensation"
)

// MaxDefinition bounds the canonical JSON of a definition, in bytes. Beyond it
// New and ParseJSON refuse.
const MaxDefinition = 1 << 20

// Definition is a checked, immutable definition: what Define and New make. It
// is safe for concurrent use.
type Definition struct {
	spec        Spec
	canonical   []byte
	fingerprint string
	tree        compensation.Node
	steps       []compiledStep // the leaves of the tree, numbered from left to right
	index       map[StepName]int
	notes       []Problem
}

// compiledStep is a step with everything that is worked out once.
type compiledStep struct {
	Step
	do      Action   // with the defaults filled in
	undo    *Action  // with the defaults filled in; nil: there is none
	request *mapping // nil: the step receives the saga's input byte for byte
}

// Ref is the definition's name and version.
func (d *Definition) Ref() Ref { return Ref{Name: d.spec.Name, Version: d.spec.Version} }

// Notes are what may go wrong with the definition's sagas although it can be used, such as
// mappings that cost too much where there is much data. Treat it as read-only.
func (d *Definition) Notes() []Problem { return d.notes }

// Fingerprint identifies the definition's content: the lower-case hexadecimal
// SHA-256 of its canonical JSON. Two definitions with the same name and version
// and different fingerprints conflict.
func (d *Definition) Fingerprint() string { return d.fingerprint }

// Spec is the definition as plain data. Treat it as read-only.
func (d *Definition) Spec() Spec { return d.spec }

// Len is the number of steps.
func (d *Definition) Len() int { return len(d.steps) }

// Step is the i-th step, counted from left to right. Treat it as read-only.
func (d *Definition) Step(i int) Step { return d.steps[i].Step }

// Timeout is how long one attempt of the i-th step waits for its answer, defaults
// included; 0: the step has no undo.
func (d *Definition) Timeout(i int, dir Direction) time.Duration {
	if a := d.action(i, dir); a != nil {
		return time.Duration(a.Timeout)
	}
	return 0
}

// Tree is the shape of the definition for package compensation.
func (d *Definition) Tree() *compensation.Node { return &d.tree }

// find is the number of the step with the given name.
func (d *Definition) find(name StepName) (int, bool) {
	i, ok := d.index[name]
	return i, ok
}

// action is one direction of step i with all defaults filled in; nil when the
// step has no such direction. The result is shared: treat it as read-only.
func (d *Definition) action(i int, dir Direction) *Action {
	if dir == DirectionUndo {
		return d.steps[i].undo
	}
	return &d.steps[i].do
}

// Action is what step i asks for in a direction, as it applies: with the
// definition's and the default timeout and retry policy filled in. Treat it as
// read-only; ok is false when the step has no such direction.
func (d *Definition) Action(i int, dir Direction) (a Action, ok bool) {
	applied := d.action(i, dir)
	if applied == nil {
		return a, false
	}
	return *applied, true
}

// request is the data of step i's do: the saga's input byte for byte, or what
// the step's mapping makes of the input and the results so far. The same
// arguments give the same bytes. An error says why the mapping could not be
// evaluated, and nothing of the data; trying again cannot help.
func (d *Definition) request(i int, input []byte, results func(step int) []byte) ([]byte, error) {
	step := &d.steps[i]
	if step.request == nil {
		return input, nil
	}
	data, err := step.request.eval(input, results)
	if err != nil {
		return nil, fmt.Errorf("request of step %s: %w", step.Name, err)
	}
	return data, nil
}

// quickRequest is request within the bounds of one quick evaluation, and what it cost.
// ErrCostly: it is beyond them. Step i has a mapping.
func (d *Definition) quickRequest(i int, input []byte, results func(step int) []byte) (data []byte, cost int, err error) {
	step := &d.steps[i]
	data, cost, err = step.request.quickly(input, results)
	if err != nil && !errors.Is(err, ErrCostly) {
		err = fmt.Errorf("request of step %s: %w", step.Name, err)
	}
	return data, cost, err
}

// Try makes the request of a step's do of data, as a run would. Unlike the reasons that
// a run gives, the error says all about a failure and quotes the data: it is for the
// definition's author, with data that may be seen. results are those of the steps before.
func (d *Definition) Try(step StepName, input []byte, results map[StepName][]byte) ([]byte, error) {
	i, ok := d.find(step)
	if !ok {
		names := make([]string, len(d.steps))
		for k := range d.steps {
			names[k] = string(d.steps[k].Name)
		}
		return nil, fmt.Errorf("there is no step %q; there are %s", shorten(string(step)), oneLine(strings.Join(names, ", ")))
	}
	data, err := d.request(i, input, func(step int) []byte { return results[d.steps[step].Name] })
	if failed, ok := errors.AsType[*mappingError](err); ok {
		return nil, fmt.Errorf("request of step %s: %w", step, failed.whole())
	}
	return data, err
}
