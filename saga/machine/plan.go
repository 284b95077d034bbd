package machine

import (
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
)

// Plan is what a definition comes to: everything of it that Decide looks at, checked and
// with all defaults filled in. Package saga makes it. Treat it as read-only; it is safe for
// concurrent use.
type Plan struct {
	Definition  contract.DefinitionRef
	Fingerprint string        // of the definition; an instance keeps that of its own for life
	Deadline    time.Duration // of a saga, from its start; 0: none
	Tree        compensation.Node
	Steps       []Step // the leaves of the tree, from left to right
	// CheckInput says why an input cannot be used; nil: all can, and none is looked at.
	CheckInput func(input []byte) error
}

// Step is one step of a Plan.
type Step struct {
	Name    contract.StepName
	Kind    contract.Kind
	Do      Action
	Undo    *Action // nil: there is none
	Mapping Mapping // makes the data of the do; nil: that is the saga's input byte for byte
}

// Action is one direction of a step: whom to ask, how long and how often.
type Action struct {
	Participant     string
	Action          string
	Timeout         time.Duration // of one attempt
	Attempts        int           // in all, the first one included
	InitialInterval time.Duration // the wait before the second attempt; it doubles from there
	MaxInterval     time.Duration // the longest wait
}

// Mapping makes the data of a step's do of the saga's input and the results of the steps before,
// which it asks for by their numbers. The same data gives the same bytes (I6). An error says why
// it could not, and nothing of the data; trying again cannot help. Mappings are compared, and
// used by several goroutines at once.
type Mapping interface {
	Make(input []byte, results func(step int) []byte) ([]byte, error)
	// MakeWithin is Make as far as it costs little, and says how much it cost; ErrCostly: it does
	// not, and what Make would give is not known.
	MakeWithin(input []byte, results func(step int) []byte) (data []byte, cost int, err error)
	// Size is how much data it may read, in bytes.
	Size(input []byte, results func(step int) []byte) int
}

// find is the number of the step with the given name.
func (p *Plan) find(name contract.StepName) (int, bool) {
	for i := range p.Steps {
		if p.Steps[i].Name == name {
			return i, true
		}
	}
	return 0, false
}

// action is one direction of step i; nil: it has no such direction.
func (p *Plan) action(i int, direction contract.Direction) *Action {
	if direction == contract.DirectionUndo {
		return p.Steps[i].Undo
	}
	return &p.Steps[i].Do
}

// request is the data of step i's do.
func (p *Plan) request(i int, input []byte, results func(step int) []byte) ([]byte, error) {
	step := &p.Steps[i]
	if step.Mapping == nil {
		return input, nil
	}
	data, err := step.Mapping.Make(input, results)
	if err != nil {
		return nil, fmt.Errorf("request of step %s: %w", step.Name, err)
	}
	return data, nil
}

// requestWithin is request as far as it costs little, and what it cost. Step i has a mapping.
func (p *Plan) requestWithin(i int, input []byte, results func(step int) []byte) (data []byte, cost int, err error) {
	step := &p.Steps[i]
	data, cost, err = step.Mapping.MakeWithin(input, results)
	if err != nil && !errors.Is(err, ErrCostly) {
		err = fmt.Errorf("request of step %s: %w", step.Name, err)
	}
	return data, cost, err
}
