package machine

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Bounds of the evaluations that DecideWithin does itself.
const (
	// BatchCost is a budget for a batch of decisions, in units of cost. It takes about 20 ms of one
	// processor.
	BatchCost = 200_000
	// quickInput is the maximum size of an input that is checked, in bytes.
	quickInput = 8 << 10
	// readPerUnit is the number of bytes of JSON whose reading costs one unit.
	readPerUnit = 2
)

// ErrCostly is returned by DecideWithin if a mapping costs too much to be evaluated within the
// decision.
var ErrCostly = errors.New("a mapping is too expensive to evaluate within the decision; evaluate it with Evaluate first")

// CostBudget bounds the total cost of mappings for several successive decisions. Only one goroutine
// may use it.
type CostBudget struct {
	units, left int
	known       map[Mapping]*costlyFrom
}

// costlyFrom records the size of data for which a mapping was found to be costly, so that the
// mapping is not repeatedly tried in vain.
type costlyFrom struct {
	bytes   int
	skipped int
}

const (
	// tryAgain is the number of evaluations that are skipped before the next try, because different
	// data of the same size may cost less.
	tryAgain = 64
	// maxKnown bounds the costly mappings that a CostBudget remembers (I10).
	maxKnown = 4096
)

// NewCostBudget returns a CostBudget with the given number of units, normally BatchCost. With 0
// units, no mapping is evaluated.
func NewCostBudget(units int) *CostBudget {
	return &CostBudget{units: units, left: units, known: map[Mapping]*costlyFrom{}}
}

// Refill restores the whole budget for the next decisions.
func (b *CostBudget) Refill() { b.left = b.units }

// Requests holds the outputs of mappings for the data of one saga (see Evaluate). The outputs
// follow from the definition and the data alone. So a decision with known outputs is the same as a
// decision without them (I6).
type Requests struct{ made []made }

// made holds the output of one mapping, or the result of the check of an input.
type made struct {
	plan    *Plan
	step    int // number of the step, or checkingInput
	input   []byte
	results []used
	request []byte
	err     error
}

// checkingInput is used in place of a step number for the check of the input.
const checkingInput = -1

// used is a result that a mapping has read.
type used struct {
	step int
	data []byte
}

// DecideWithin makes the same decision as Decide, but bounds its cost. It evaluates only cheap
// mappings, within a budget. For other mappings it uses the outputs in known; nil means none. If
// known lacks an output, DecideWithin returns ErrCostly and decides nothing; the caller then
// repeats the decision with the output of Evaluate. Earlier uses of the budget may influence
// whether DecideWithin returns ErrCostly, but not what it decides.
func DecideWithin(budget *CostBudget, known *Requests, plan *Plan, in Instance, ev Event) (Instance, Effects, error) {
	return decide(plan, in, ev, evaluator{budget: budget, known: known})
}

// Replay repeats the decisions of a history, event by event. If several events need the same
// mapping, as several attempts do, the mapping is evaluated once. The zero value is ready to use.
type Replay struct{ mappings Requests }

// replayed is the number of mappings that a Replay remembers. At most that many steps, the branches
// of a parallel, are attempted at the same time.
const replayed = 64

// Decide returns the decision for the next event, as the function Decide does.
func (r *Replay) Decide(plan *Plan, in Instance, ev Event) (Instance, Effects, error) {
	next, eff, err := decide(plan, in, ev, evaluator{record: &r.mappings})
	if made := r.mappings.made; len(made) > replayed {
		r.mappings.made = slices.Delete(made, 0, len(made)-replayed)
	}
	return next, eff, err
}

// Evaluate computes the outputs of the mappings that a decision needs, for DecideWithin. It may
// take long, and is safe for concurrent use.
func Evaluate(plan *Plan, in Instance, ev Event) *Requests {
	var requests Requests
	_, _, _ = decide(plan, in, ev, evaluator{record: &requests})
	return &requests
}

// evaluator provides the outputs of mappings for a decision. The zero value evaluates all mappings.
type evaluator struct {
	budget *CostBudget // nil means no bound
	known  *Requests   // nil if nothing is known
	record *Requests   // if not nil, outputs are recorded here
}

// request returns the data of step i's do.
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

// evaluate evaluates a cheap mapping. It returns ErrCostly if the mapping is not cheap.
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

// skip reports whether the mapping is known to be costly for data of this size.
func (c *costlyFrom) skip(bytes int) bool {
	if c == nil || bytes < c.bytes {
		return false
	}
	c.skipped++
	return c.skipped%tryAgain != 0
}

// find returns the known output of a mapping for the same data, or nil.
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

// uses reports whether the results that the mapping read are equal to the given results.
func (m *made) uses(results func(step int) []byte) bool {
	for _, u := range m.results {
		if !bytes.Equal(u.data, results(u.step)) {
			return false
		}
	}
	return true
}

// request returns the data of step i's do. Step i must have a mapping.
func (p *Plan) request(i int, input []byte, results func(step int) []byte) ([]byte, error) {
	step := &p.Steps[i]
	data, err := step.Mapping.Make(input, results)
	if err != nil {
		return nil, fmt.Errorf("request of step %s: %w", step.Name, err)
	}
	return data, nil
}

// requestWithin does the same as request if that is cheap, and also returns the cost.
func (p *Plan) requestWithin(i int, input []byte, results func(step int) []byte) (data []byte, cost int, err error) {
	step := &p.Steps[i]
	data, cost, err = step.Mapping.MakeWithin(input, results)
	if err != nil && !errors.Is(err, ErrCostly) {
		err = fmt.Errorf("request of step %s: %w", step.Name, err)
	}
	return data, cost, err
}
