package machine

import (
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
)

// Plan is the executable form of a definition: everything that Decide needs, checked and with all
// defaults filled in. Package saga creates it. It must not be modified and is safe for concurrent
// use.
type Plan struct {
	Definition  contract.DefinitionRef
	Fingerprint string        // of the definition; an instance keeps the one it started with
	Deadline    time.Duration // of a saga, from its start; 0 means none
	Tree        compensation.Node
	Steps       []Step // the leaves of the tree, from left to right
	// CheckInput returns an error if an input cannot be used. If CheckInput is nil, every input is
	// accepted.
	CheckInput func(input []byte) error
}

// Step is one step of a Plan.
type Step struct {
	Name    contract.StepName
	Kind    contract.Kind
	Do      Action
	Undo    *Action // nil if there is none
	Mapping Mapping // computes the data of the do; nil means the saga's input byte for byte
}

// Action is one direction of a step: the participant, the timeout and the retries.
type Action struct {
	Participant     string
	Action          string
	Timeout         time.Duration // of one attempt
	Attempts        int           // total number, including the first
	InitialInterval time.Duration // wait before the second attempt; then doubled each time
	MaxInterval     time.Duration // maximum wait
}

// Mapping computes the data of a step's do from the saga's input and the results of previous steps,
// which it requests by step number. The same data produces the same bytes (I6). An error says why
// the mapping failed, and quotes no data; a retry cannot help. Mappings must be comparable and safe
// for concurrent use.
type Mapping interface {
	Make(input []byte, results func(step int) []byte) ([]byte, error)
	// MakeWithin does the same as Make if that is cheap, and also returns the cost. Otherwise it
	// returns ErrCostly, whatever Make would return.
	MakeWithin(input []byte, results func(step int) []byte) (data []byte, cost int, err error)
	// Size returns the number of bytes of data that the mapping may read.
	Size(input []byte, results func(step int) []byte) int
}

// find returns the number of the step with the given name.
func (p *Plan) find(name contract.StepName) (int, bool) {
	for i := range p.Steps {
		if p.Steps[i].Name == name {
			return i, true
		}
	}
	return 0, false
}

// action returns one direction of step i, or nil if the step has no such direction.
func (p *Plan) action(i int, direction contract.Direction) *Action {
	if direction == contract.DirectionUndo {
		return p.Steps[i].Undo
	}
	return &p.Steps[i].Do
}
