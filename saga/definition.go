package saga

import (
	"fmt"
	"strings"
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/mapping"
	"github.com/amends-dev/amends/saga/internal/quote"
	"github.com/amends-dev/amends/saga/machine"
)

// MaxDefinition bounds the canonical JSON of a definition, in bytes. Beyond it
// New and ParseJSON refuse.
const MaxDefinition = 1 << 20

// Definition is a checked, immutable definition: what Define and New make. It
// is safe for concurrent use.
type Definition struct {
	spec      Spec
	canonical []byte
	steps     []compiledStep // from left to right
	index     map[contract.StepName]int
	plan      machine.Plan
	notes     []Problem
}

// compiledStep is a step with everything that is worked out once.
type compiledStep struct {
	Step
	do      Action           // with the defaults filled in
	undo    *Action          // with the defaults filled in; nil: there is none
	request *mapping.Mapping // nil: the step receives the saga's input byte for byte
}

// Ref is the definition's name and version.
func (d *Definition) Ref() contract.DefinitionRef { return d.plan.Definition }

// Plan is what the definition comes to for package machine. Treat it as read-only.
func (d *Definition) Plan() *machine.Plan { return &d.plan }

// Notes are what may go wrong with the definition's sagas although it can be used, such as
// mappings that cost too much where there is much data. Treat it as read-only.
func (d *Definition) Notes() []Problem { return d.notes }

// Fingerprint identifies the definition's content: the lower-case hexadecimal
// SHA-256 of its canonical JSON. Two definitions with the same name and version
// and different fingerprints conflict.
func (d *Definition) Fingerprint() string { return d.plan.Fingerprint }

// Spec is the definition as plain data. Treat it as read-only.
func (d *Definition) Spec() Spec { return d.spec }

// Len is the number of steps.
func (d *Definition) Len() int { return len(d.steps) }

// Step is the i-th step, counted from left to right. Treat it as read-only.
func (d *Definition) Step(i int) Step { return d.steps[i].Step }

// Timeout is how long one attempt of the i-th step waits for its answer, defaults
// included; 0: the step has no undo.
func (d *Definition) Timeout(i int, dir contract.Direction) time.Duration {
	if a := d.action(i, dir); a != nil {
		return time.Duration(a.Timeout)
	}
	return 0
}

// Tree is the shape of the definition for package compensation.
func (d *Definition) Tree() *compensation.Node { return &d.plan.Tree }

// find is the number of the step with the given name.
func (d *Definition) find(name contract.StepName) (int, bool) {
	i, ok := d.index[name]
	return i, ok
}

// action is one direction of step i with all defaults filled in; nil when the
// step has no such direction. The result is shared: treat it as read-only.
func (d *Definition) action(i int, dir contract.Direction) *Action {
	if dir == contract.DirectionUndo {
		return d.steps[i].undo
	}
	return &d.steps[i].do
}

// Action is what step i asks for in a direction, as it applies: with the
// definition's and the default timeout and retry policy filled in. Treat it as
// read-only; ok is false when the step has no such direction.
func (d *Definition) Action(i int, dir contract.Direction) (a Action, ok bool) {
	applied := d.action(i, dir)
	if applied == nil {
		return a, false
	}
	return *applied, true
}

// Try makes the request of a step's do of data, as a run would. Unlike the reasons that
// a run gives, the error says all about a failure and quotes the data: it is for the
// definition's author, with data that may be seen. results are those of the steps before.
func (d *Definition) Try(step contract.StepName, input []byte, results map[contract.StepName][]byte) ([]byte, error) {
	i, ok := d.find(step)
	if !ok {
		names := make([]string, len(d.steps))
		for k := range d.steps {
			names[k] = string(d.steps[k].Name)
		}
		return nil, fmt.Errorf("there is no step %q; there are %s", quote.Short(string(step)), quote.Line(strings.Join(names, ", ")))
	}
	if d.steps[i].request == nil {
		return input, nil
	}
	data, err := d.steps[i].request.Try(input, func(step int) []byte { return results[d.steps[step].Name] })
	if err != nil {
		return nil, fmt.Errorf("request of step %s: %w", step, err)
	}
	return data, nil
}
