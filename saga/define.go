package saga

import (
	"fmt"
	"reflect"
	"time"

	"github.com/amends-dev/amends/contract"
)

// Define creates a definition in Go from its settings and its steps, in the order in which they
// run. In is the type of the saga's input; any or json.RawMessage accepts every input. The default
// version is 1.
//
// The error is a *DefinitionError that lists all problems. An option that does not apply does not
// compile: a pivot takes no Undo, and an Undo takes no With.
func Define[In any](name string, parts ...Part) (*Definition, error) {
	b := builder{spec: Spec{Name: name, Version: 1, Input: SchemaFor[In]()}}
	for i, part := range parts {
		if part == nil {
			b.problems = append(b.problems, Problem{
				Path: fmt.Sprintf("parts[%d]", i), What: "is nil", Fix: "remove it"})
			continue
		}
		part.part(&b)
	}
	return build(b.spec, b.mixed, b.problems)
}

// MustDefine does the same as Define, for package variables. It panics with the list of all
// problems.
func MustDefine[In any](name string, parts ...Part) *Definition {
	d, err := Define[In](name, parts...)
	if err != nil {
		panic(err)
	}
	return d
}

// builder collects the parts of a definition.
type builder struct {
	spec     Spec
	mixed    map[*Step]string // steps whose do and undo have different Go types, and the difference
	problems []Problem
}

// Part is a part of a definition: Version, Deadline, Timeout, Retry, or a Block.
type Part interface{ part(*builder) }

// Block is a node in the order of steps: Compensable, Pivot, Retriable, Parallel or Sequence.
type Block interface {
	Part
	node(*builder) Node
}

// DoOption is an option of Do: With, Timeout, Retry.
type DoOption interface{ setDo(*Action) }

// UndoOption is an option of Undo: Timeout, Retry.
type UndoOption interface{ setUndo(*Action) }

// Setting is an option of Do, Undo and Define: Timeout or Retry. In Define, it applies to every
// action without a setting of its own.
type Setting interface {
	Part
	DoOption
	UndoOption
}

type partFunc func(*builder)

func (f partFunc) part(b *builder) { f(b) }

// Version sets the definition's version, 1 or higher. A definition is immutable once it is
// registered. A change needs a new version; running sagas keep theirs.
func Version(version int) Part {
	return partFunc(func(b *builder) { b.spec.Version = version })
}

// Deadline bounds the duration of the whole saga. If it passes before the point of no return, the
// saga compensates; after that point, an alert is raised. By default there is no deadline.
func Deadline(deadline time.Duration) Part {
	return partFunc(func(b *builder) { b.spec.Deadline = Duration(deadline) })
}

// Timeout sets how long one attempt waits for its answer. The default is DefaultTimeout.
func Timeout(timeout time.Duration) Setting { return timeoutSetting(timeout) }

type timeoutSetting time.Duration

func (t timeoutSetting) part(b *builder)   { b.spec.Timeout = Duration(t) }
func (t timeoutSetting) setDo(a *Action)   { a.Timeout = Duration(t) }
func (t timeoutSetting) setUndo(a *Action) { a.Timeout = Duration(t) }

// Retry sets the number of attempts of an action (1 means no retry), the wait before the second
// attempt, and the maximum to which the wait grows by doubling. Zero means the default (see
// DefaultRetry).
func Retry(attempts int, initialInterval, maxInterval time.Duration) Setting {
	return retrySetting{Attempts: attempts, InitialInterval: Duration(initialInterval), MaxInterval: Duration(maxInterval)}
}

type retrySetting RetryPolicy

func (r retrySetting) part(b *builder)   { b.spec.Retry = RetryPolicy(r) }
func (r retrySetting) setDo(a *Action)   { a.Retry = RetryPolicy(r) }
func (r retrySetting) setUndo(a *Action) { a.Retry = RetryPolicy(r) }

// With sets the CEL expression (https://cel.dev) that computes the data of a do, from the saga's
// input and the results of steps that are certainly done. Step names are written with underscores:
//
//	saga.With(`{"order_id": input.order_id, "receipt": result.charge_card.receipt_id}`)
//
// Define checks the expression against the Go types. Without With, the participant receives the
// saga's input byte for byte.
func With(expression string) DoOption { return withOption(expression) }

type withOption string

func (w withOption) setDo(a *Action) { a.With = string(w) }

// StepDo describes the do of a step (see Do).
type StepDo struct {
	action   Action
	req, res reflect.Type
}

// Do sets the command that does the step.
func Do[Req, Res any](c contract.Command[Req, Res], options ...DoOption) StepDo {
	do := StepDo{
		action: Action{
			Participant: c.Participant(), Action: c.Action(),
			Request: SchemaFor[Req](), Result: SchemaFor[Res](),
		},
		req: c.RequestType(), res: c.ResultType(),
	}
	for _, option := range options {
		option.setDo(&do.action)
	}
	return do
}

// StepUndo describes how a compensable step is undone (see Undo and NothingToUndo).
type StepUndo struct {
	action   *Action
	req, res reflect.Type
	nothing  bool
}

// Undo sets the command that undoes the step. The participant receives the request and the result
// of the do, so no mapping is needed.
func Undo[Req, Res any](u contract.UndoCommand[Req, Res], options ...UndoOption) StepUndo {
	undo := StepUndo{
		action: &Action{Participant: u.Participant(), Action: u.Action()},
		req:    u.RequestType(), res: u.ResultType(),
	}
	for _, option := range options {
		option.setUndo(undo.action)
	}
	return undo
}

// NothingToUndo declares that a compensable step has no effect that must be undone, for example
// because it only reads.
func NothingToUndo() StepUndo { return StepUndo{nothing: true} }

// Compensable adds a step that can be undone. It must come before the pivot.
func Compensable(name contract.StepName, do StepDo, undo StepUndo) Block {
	return stepBlock{name, contract.KindCompensable, do, undo}
}

// Pivot adds the point of no return: once it has completed, the saga only goes forward. There is at
// most one, in the outermost sequence.
func Pivot(name contract.StepName, do StepDo) Block {
	return stepBlock{name, contract.KindPivot, do, StepUndo{}}
}

// Retriable adds a step that cannot be rejected and is retried until it completes. It must come
// after the pivot and after every compensable step.
func Retriable(name contract.StepName, do StepDo) Block {
	return stepBlock{name, contract.KindRetriable, do, StepUndo{}}
}

type stepBlock struct {
	name contract.StepName
	kind contract.Kind
	do   StepDo
	undo StepUndo
}

func (s stepBlock) part(b *builder) { b.spec.Steps = append(b.spec.Steps, s.node(b)) }

func (s stepBlock) node(b *builder) Node {
	step := &Step{Name: s.name, Kind: s.kind, Do: s.do.action, NothingToUndo: s.undo.nothing}
	if s.undo.action != nil {
		undo := *s.undo.action
		step.Undo = &undo
		if s.do.req != s.undo.req || s.do.res != s.undo.res {
			if b.mixed == nil {
				b.mixed = map[*Step]string{}
			}
			b.mixed[step] = fmt.Sprintf("takes back a command from %v to %v, but the do goes from %v to %v",
				s.undo.req, s.undo.res, s.do.req, s.do.res)
		}
	}
	return Node{Step: step}
}

// Parallel runs its blocks concurrently and continues when all are done.
func Parallel(branches ...Block) Block { return groupBlock{parallel: true, blocks: branches} }

// Sequence runs its blocks one after the other. It is used as a branch of a Parallel with several
// steps.
func Sequence(blocks ...Block) Block { return groupBlock{blocks: blocks} }

type groupBlock struct {
	parallel bool
	blocks   []Block
}

func (g groupBlock) part(b *builder) { b.spec.Steps = append(b.spec.Steps, g.node(b)) }

func (g groupBlock) node(b *builder) Node {
	nodes := make([]Node, 0, len(g.blocks))
	for _, block := range g.blocks {
		if block == nil {
			nodes = append(nodes, Node{})
			continue
		}
		nodes = append(nodes, block.node(b))
	}
	if g.parallel {
		return Node{Parallel: nodes}
	}
	return Node{Sequence: nodes}
}
