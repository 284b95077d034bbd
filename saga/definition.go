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

// MaxDefinition bounds the canonical JSON of a definition, in bytes. New and ParseJSON refuse a
// larger one.
const MaxDefinition = 1 << 20

// Definition is a checked, immutable definition. Define, New and ParseJSON return it. It is safe
// for concurrent use.
type Definition struct {
	spec      Spec
	canonical []byte
	steps     []compiledStep // from left to right
	index     map[contract.StepName]int
	plan      machine.Plan
	notes     []Problem
}

// compiledStep is a step with its precomputed data.
type compiledStep struct {
	Step
	do      Action           // with the defaults filled in
	undo    *Action          // with the defaults filled in; nil if there is none
	request *mapping.Mapping // nil if the step receives the saga's input byte for byte
}

// Ref returns the definition's name and version.
func (d *Definition) Ref() contract.DefinitionRef { return d.plan.Definition }

// Plan returns the form of the definition that package machine uses. It must not be modified.
func (d *Definition) Plan() *machine.Plan { return &d.plan }

// Notes returns warnings about the definition, such as mappings that cost too much for large data.
// They do not prevent its use. The result must not be modified.
func (d *Definition) Notes() []Problem { return d.notes }

// Fingerprint identifies the definition's content. It returns the lower-case hexadecimal SHA-256 of
// the canonical JSON. Definitions with the same name and version but different fingerprints
// conflict.
func (d *Definition) Fingerprint() string { return d.plan.Fingerprint }

// Spec returns the definition as plain data. It must not be modified.
func (d *Definition) Spec() Spec { return d.spec }

// Len returns the number of steps.
func (d *Definition) Len() int { return len(d.steps) }

// Step returns step i, counted from left to right. It must not be modified.
func (d *Definition) Step(i int) Step { return d.steps[i].Step }

// Timeout returns how long one attempt of step i waits for its answer, with the defaults applied.
// It returns 0 if the step has no such direction.
func (d *Definition) Timeout(i int, dir contract.Direction) time.Duration {
	if a := d.action(i, dir); a != nil {
		return time.Duration(a.Timeout)
	}
	return 0
}

// Tree returns the structure of the definition for package compensation.
func (d *Definition) Tree() *compensation.Node { return &d.plan.Tree }

// find returns the number of the step with the given name.
func (d *Definition) find(name contract.StepName) (int, bool) {
	i, ok := d.index[name]
	return i, ok
}

// action returns one direction of step i with all defaults filled in, or nil if the step has no
// such direction. The result is shared and must not be modified.
func (d *Definition) action(i int, dir contract.Direction) *Action {
	if dir == contract.DirectionUndo {
		return d.steps[i].undo
	}
	return &d.steps[i].do
}

// Action returns the action of step i in a direction, with the timeout and retry policy filled in
// from the definition and the defaults. It must not be modified. ok is false if the step has no
// such direction.
func (d *Definition) Action(i int, dir contract.Direction) (a Action, ok bool) {
	applied := d.action(i, dir)
	if applied == nil {
		return a, false
	}
	return *applied, true
}

// Try computes the request of a step's do from the given data, as a run would. results holds the
// results of previous steps. Unlike the reasons that a run records, the error describes a failure
// in full and quotes the data. Try is meant for the author of the definition, with data that may be
// seen.
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
