package machine

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Bounds of the evaluations that DecideWithin does itself, in units of what they cost.
const (
	// BatchCost is a budget for a batch of decisions: about 20 ms of one processor.
	BatchCost = 200_000
	// quickInput bounds the input that is checked, in bytes.
	quickInput = 8 << 10
	// readPerUnit is how many bytes of JSON are read for a unit.
	readPerUnit = 2
)

// ErrCostly is what DecideWithin returns instead of evaluating a mapping that costs much.
var ErrCostly = errors.New("a mapping costs too much to be evaluated between other decisions")

// CostBudget is what the mappings of several decisions may cost together where they are taken
// one after the other. It is for one goroutine.
type CostBudget struct {
	units, left int
	known       map[Mapping]*costlyFrom
}

// costlyFrom says of which data a mapping was found to be costly, so that it is not tried
// again and again.
type costlyFrom struct {
	bytes   int
	skipped int
}

const (
	// tryAgain is how many evaluations are skipped before one is tried: other data of the
	// same size may cost less.
	tryAgain = 64
	// maxKnown bounds the mappings that a CostBudget knows to be costly (I10).
	maxKnown = 4096
)

// NewCostBudget makes a CostBudget of some units; BatchCost is a good number. With 0 no mapping
// is evaluated.
func NewCostBudget(units int) *CostBudget {
	return &CostBudget{units: units, left: units, known: map[Mapping]*costlyFrom{}}
}

// Refill makes the budget whole again, for the next decisions.
func (b *CostBudget) Refill() { b.left = b.units }

// Requests is what mappings make of the data of one saga: see Evaluate. It says nothing
// that does not follow from the definition and the data, so decisions that are taken with
// it are those that are taken without (I6).
type Requests struct{ made []made }

// made is what one mapping makes, or what became of the check of an input.
type made struct {
	plan    *Plan
	step    int // checkingInput: of none
	input   []byte
	results []used
	request []byte
	err     error
}

// checkingInput stands for a step where the input is checked.
const checkingInput = -1

// used is a result that a mapping asked for.
type used struct {
	step int
	data []byte
}

// DecideWithin is Decide, but for what it costs: of the mappings that the decision needs it
// evaluates those that cost little, within a budget, and takes what others make from known,
// which may be nil. If that does not have it, the error is ErrCostly, and nothing is decided:
// take the decision again with what Evaluate returns. Whether it is may depend on what the
// budget has met before; what is decided does not.
func DecideWithin(budget *CostBudget, known *Requests, plan *Plan, in Instance, ev Event) (Instance, Effects, error) {
	return decide(plan, in, ev, evaluator{budget: budget, known: known})
}

// Replay decides once more what was decided before, event by event. A mapping that several
// events need, for one attempt after the other, is evaluated once. The zero value is ready.
type Replay struct{ mappings Requests }

// replayed is how many mappings a Replay remembers: those of the steps that are attempted at
// the same time: the branches of a parallel, at most.
const replayed = 64

// Decide is Decide, of the next event.
func (r *Replay) Decide(plan *Plan, in Instance, ev Event) (Instance, Effects, error) {
	next, eff, err := decide(plan, in, ev, evaluator{record: &r.mappings})
	if made := r.mappings.made; len(made) > replayed {
		r.mappings.made = slices.Delete(made, 0, len(made)-replayed)
	}
	return next, eff, err
}

// Evaluate works out what the mappings make that a decision needs, for DecideWithin. It may
// take long, and be called from any goroutine.
func Evaluate(plan *Plan, in Instance, ev Event) *Requests {
	var requests Requests
	_, _, _ = decide(plan, in, ev, evaluator{record: &requests})
	return &requests
}

// evaluator is how a decision comes by what mappings make. The zero value evaluates all of
// them.
type evaluator struct {
	budget *CostBudget // nil: none
	known  *Requests   // nil: nothing is
	record *Requests   // nil: it is not recorded
}

// request is the data of step i's do.
func (e *evaluator) request(plan *Plan, i int, input []byte, results func(step int) []byte) ([]byte, error) {
	mapping := plan.Steps[i].Mapping
	if mapping == nil {
		return input, nil
	}
	for _, known := range []*Requests{e.known, e.record} {
		if m := known.find(plan, i, input, results); m != nil {
			return m.request, m.err
		}
	}
	if e.budget != nil {
		return e.budget.evaluate(plan, i, input, results)
	}
	if e.record == nil {
		return plan.request(i, input, results)
	}
	one := made{plan: plan, step: i, input: input}
	one.request, one.err = plan.request(i, input, func(step int) []byte {
		data := results(step)
		one.results = append(one.results, used{step, data})
		return data
	})
	e.record.made = append(e.record.made, one)
	return one.request, one.err
}

// checkInput checks the input of a saga.
func (e *evaluator) checkInput(plan *Plan, input []byte) error {
	if plan.CheckInput == nil {
		return nil
	}
	for _, known := range []*Requests{e.known, e.record} {
		if m := known.find(plan, checkingInput, input, nil); m != nil {
			return m.err
		}
	}
	if e.budget != nil {
		if len(input) > quickInput || e.budget.left <= 0 {
			return ErrCostly
		}
		e.budget.left -= len(input) / readPerUnit
	}
	err := plan.CheckInput(input)
	if err != nil {
		err = fmt.Errorf("%w: it does not match the input schema: %w", ErrInput, err)
	}
	if e.record != nil {
		e.record.made = append(e.record.made, made{plan: plan, step: checkingInput, input: input, err: err})
	}
	return err
}

// evaluate evaluates a mapping that costs little; ErrCostly: it does not.
func (b *CostBudget) evaluate(plan *Plan, i int, input []byte, results func(step int) []byte) ([]byte, error) {
	m := plan.Steps[i].Mapping
	bytes := m.Size(input, results)
	costly := b.known[m]
	if b.left <= 0 || costly.skip(bytes) {
		return nil, ErrCostly
	}
	request, cost, err := plan.requestWithin(i, input, results)
	b.left -= cost
	switch {
	case !errors.Is(err, ErrCostly):
		if costly != nil && bytes >= costly.bytes {
			costly.bytes = bytes + 1
		}
	case costly != nil:
		costly.bytes = min(costly.bytes, bytes)
	default:
		if len(b.known) >= maxKnown {
			clear(b.known)
		}
		b.known[m] = &costlyFrom{bytes: bytes}
	}
	return request, err
}

// skip reports whether so much data is known to be costly.
func (c *costlyFrom) skip(bytes int) bool {
	if c == nil || bytes < c.bytes {
		return false
	}
	c.skipped++
	return c.skipped%tryAgain != 0
}

// find is what a mapping made of the same data; nil: that is not known.
func (r *Requests) find(plan *Plan, step int, input []byte, results func(step int) []byte) *made {
	if r == nil {
		return nil
	}
	for i := range r.made {
		if m := &r.made[i]; m.step == step && m.plan.Fingerprint == plan.Fingerprint && bytes.Equal(m.input, input) && m.uses(results) {
			return m
		}
	}
	return nil
}

// uses reports whether the results that a mapping asked for are these.
func (m *made) uses(results func(step int) []byte) bool {
	for _, u := range m.results {
		if !bytes.Equal(u.data, results(u.step)) {
			return false
		}
	}
	return true
}
