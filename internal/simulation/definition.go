package simulation

import (
	"fmt"
	"sync"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
)

// Bounds of random definitions. Definitions are numbered so that runs can share them, because
// checking a definition takes longer than running a saga of that definition.
const (
	definitionPool = 2048
	maxSteps       = 12
	services       = 4
)

var definitions, mappedDefinitions [definitionPool]struct {
	once  sync.Once
	def   *saga.Definition
	shape *shape
}

// mapping is the mapping of every second step, in a definition with mappings.
const mapping = `{"input": input.n, "before": [1, 2].map(x, x + input.n)}`

// shape caches what the rules need to know about a definition.
type shape struct {
	steps []saga.Step
	after [maxSteps][maxSteps]bool // [a][b] is true if b comes after a in a sequence that contains both
}

func newShape(def *saga.Definition) *shape {
	s := &shape{steps: make([]saga.Step, def.Len())}
	for a := range s.steps {
		s.steps[a] = def.Step(a)
		for b := range s.steps {
			s.after[a][b] = follows(def.Tree(), a, b)
		}
	}
	return s
}

// definition returns the random definition with the given number. If mapped is set, the definition
// has mappings and is otherwise the same.
func definition(number int, mapped bool) (*saga.Definition, *shape) {
	slot := &definitions[number]
	if mapped {
		slot = &mappedDefinitions[number]
	}
	slot.once.Do(func() {
		for try := uint64(0); slot.def == nil; try++ {
			a := author{d: newRNG(uint64(number)<<8 | try), mapped: mapped}
			def, err := saga.New(a.spec(number))
			if err != nil {
				panic(fmt.Sprintf("simulation: definition %d: %v", number, err)) // a bug in this file
			}
			if def.Len() <= maxSteps {
				slot.def, slot.shape = def, newShape(def)
			}
		}
	})
	return slot.def, slot.shape
}

// author writes one random definition.
type author struct {
	d      rng
	mapped bool
	steps  int
}

func (a *author) spec(number int) saga.Spec {
	spec := saga.Spec{Name: fmt.Sprintf("d%d", number), Version: 1}
	if a.d.chance(0.4) {
		spec.Deadline = saga.Duration(a.d.span(time.Second, 2*time.Minute))
	}
	blocks := a.d.between(1, 5)
	pivot, retriable := -1, blocks
	switch a.d.IntN(3) {
	case 0:
		pivot = a.d.IntN(blocks)
		retriable = pivot + 1
	case 1:
		retriable = a.d.between(0, blocks)
	}
	for b := range blocks {
		switch {
		case b == pivot:
			spec.Steps = append(spec.Steps, a.step(contract.KindPivot))
		case b >= retriable:
			spec.Steps = append(spec.Steps, a.block(contract.KindRetriable, 2))
		default:
			spec.Steps = append(spec.Steps, a.block(contract.KindCompensable, 2))
		}
	}
	return spec
}

func (a *author) block(kind contract.Kind, depth int) saga.Node {
	if depth == 0 || a.d.chance(0.6) {
		return a.step(kind)
	}
	var children []saga.Node
	for range a.d.between(1, 3) {
		children = append(children, a.block(kind, depth-1))
	}
	if a.d.chance(0.5) {
		return saga.Node{Parallel: children}
	}
	return saga.Node{Sequence: children}
}

func (a *author) step(kind contract.Kind) saga.Node {
	a.steps++
	service := serviceName(a.d.IntN(services))
	s := &saga.Step{Name: stepName(a.steps), Kind: kind, Do: a.action(service, doAction)}
	if a.mapped && a.steps%2 == 0 {
		s.Do.With = mapping
	}
	if kind == contract.KindCompensable {
		if a.d.chance(0.15) {
			s.NothingToUndo = true
		} else {
			undo := a.action(service, undoAction)
			s.Undo = &undo
		}
	}
	return saga.Node{Step: s}
}

func stepName(number int) contract.StepName { return contract.StepName(fmt.Sprintf("s%d", number)) }

func (a *author) action(service, action string) saga.Action {
	return saga.Action{
		Participant: service, Action: action,
		Timeout: saga.Duration(a.d.span(time.Second, 10*time.Second)),
		Retry: saga.RetryPolicy{
			Attempts: a.d.between(1, 4), InitialInterval: saga.Duration(time.Second), MaxInterval: saga.Duration(4 * time.Second),
		},
	}
}
