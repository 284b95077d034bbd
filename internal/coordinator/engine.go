package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// ErrIDTaken means that the id belongs to a saga with a different input or definition.
var ErrIDTaken = errors.New("this id belongs to a saga with a different input or definition")

// maxConflicts bounds how often one Step reloads a saga because another coordinator changed it
// concurrently.
const maxConflicts = 16

// Engine decides and commits batches. It has no goroutine and no clock, and is not safe for
// concurrent use; several Engines may share a store.
type Engine struct {
	store       store.Store
	definitions *definitions
	writer      writer
	cache       *simplelru.LRU[contract.SagaID, *machine.Instance]
	unsent      func(outbox.Destination, outbox.ID) string
	known       map[contract.SagaID]*machine.Requests // evaluated mappings, for the next Step
	total       func() time.Duration                  // by how much the wall clock was set; nil if unknown
	clock       time.Duration                         // the value of total for this Step
	beside      bool                                  // whether expensive mappings are evaluated outside Step
	budget      *machine.CostBudget                   // per Step
	hits        uint64                                // reads of sagas in this Step that the cache answered
	misses      uint64                                // the others
}

func newEngine(s store.Store, d *definitions, w writer, cacheSize int) (*Engine, error) {
	cache, err := simplelru.NewLRU[contract.SagaID, *machine.Instance](cacheSize, nil)
	if err != nil {
		return nil, fmt.Errorf("create an instance cache of size %d: %w", cacheSize, err)
	}
	return &Engine{store: s, definitions: d, writer: w.own(), cache: cache}, nil
}

// NewEngine returns an Engine for a store and the definitions in it. cacheSize is the number of
// cached instances (at least 1). A definition in the store that equals one of compiled is not
// compiled again, which takes longer than a saga.
func NewEngine(ctx context.Context, s store.Store, subjects transport.Subjects, secret []byte, cacheSize int, compiled ...*saga.Definition) (*Engine, error) {
	d := newDefinitions(s)
	d.compiled = compiled
	if err := d.load(ctx); err != nil {
		return nil, err
	}
	return newEngine(s, d, writer{subjects: subjects, source: transport.CoordinatorSource, secret: secret}, cacheSize)
}

// AskUnsent sets the function that the engine calls when an attempt times out, usually
// outbox.Relay.Unsent. The function returns why a command has not been sent; it returns "" if the
// command has been sent or if that is unknown.
func (e *Engine) AskUnsent(ask func(outbox.Destination, outbox.ID) string) { e.unsent = ask }

// EvaluateBeside limits the cost of the mappings that Step evaluates, in units (machine.BatchCost).
// In Output.Costly, Step lists the sagas whose mappings exceed the limit. Without this call Step
// evaluates all mappings.
func (e *Engine) EvaluateBeside(units int) { e.beside, e.budget = true, machine.NewCostBudget(units) }

// Provide passes the results of a saga's mappings to the next Step.
func (e *Engine) Provide(id contract.SagaID, made *machine.Requests) {
	if e.known == nil {
		e.known = map[contract.SagaID]*machine.Requests{}
	}
	e.known[id] = made
}

// Register stores a definition; see store.Store.PutDefinition.
func (e *Engine) Register(ctx context.Context, def *saga.Definition) error {
	_, err := e.definitions.register(ctx, def)
	return err
}

// Step decides all inputs of a batch in order, and commits them together. If it returns no error,
// everything in Output is durable, and the caller may answer, acknowledge and send in any order. An
// error means that the store has failed; then the caller must not reveal any part of the batch.
func (e *Engine) Step(ctx context.Context, inputs []Input) (Output, error) {
	out := Output{Results: make([]Result, len(inputs))}
	e.hits, e.misses = 0, 0
	defer clear(e.known)
	if e.total != nil {
		e.clock = e.total()
	}
	if e.beside {
		e.budget.Refill()
	}
	todo := make([]int, len(inputs))
	for i := range todo {
		todo[i] = i
	}
	for try := 0; len(todo) > 0; try++ {
		again, err := e.step(ctx, inputs, todo, &out)
		if err != nil {
			return Output{}, err
		}
		if try == maxConflicts {
			for _, i := range again {
				out.Results[i] = Result{Err: fmt.Errorf("commit saga %s: conflict on every attempt: %w", inputs[i].Saga, store.ErrConflict)}
			}
			break
		}
		todo = again
	}
	out.CacheHits, out.CacheMisses = e.hits, e.misses
	return out, nil
}

// decideAll decides the inputs in todo, saga by saga.
func (e *Engine) decideAll(ctx context.Context, inputs []Input, todo []int, out *Output) (order []*draft) {
	drafts := map[contract.SagaID]*draft{}
	for _, i := range todo {
		d := drafts[inputs[i].Saga]
		if d == nil {
			d = e.load(ctx, inputs[i].Saga)
			drafts[inputs[i].Saga] = d
			order = append(order, d)
		}
		d.inputs = append(d.inputs, i)
		if len(d.undecided) > 0 { // keep the inputs in order
			d.undecided, out.Results[i] = append(d.undecided, i), Result{Err: machine.ErrCostly}
			continue
		}
		out.Results[i] = e.decide(d, &inputs[i])
		if e.doubtful(d, &out.Results[i]) {
			e.reload(ctx, inputs[i].Saga, d)
			out.Results[i] = e.decide(d, &inputs[i])
		}
		if errors.Is(out.Results[i].Err, machine.ErrCostly) {
			d.undecided = append(d.undecided, i)
		}
	}
	return order
}

// step decides and commits the inputs in todo. It returns the inputs whose saga another coordinator
// changed in the meantime.
func (e *Engine) step(ctx context.Context, inputs []Input, todo []int, out *Output) (again []int, err error) {
	order := e.decideAll(ctx, inputs, todo, out)
	for _, d := range order {
		if d.broken != nil {
			return nil, d.broken
		}
	}
	changes, changed := make([]store.Change, 0, len(order)), make([]*draft, 0, len(order))
	enqueued := 0
	for _, d := range order {
		if len(d.events) > 0 {
			enqueued += len(d.enqueued)
			changes = append(changes, store.Change{Expected: d.committed, Instance: d.instance, Events: d.events, Enqueue: d.enqueued, Discard: d.discarded()})
			changed = append(changed, d)
		}
	}
	if len(changes) == 0 {
		out.addCostly(order)
		return nil, nil
	}
	results, err := e.store.Commit(ctx, changes)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", plural.Of(len(changes), "saga", "sagas"), err)
	}
	out.Enqueued = slices.Grow(out.Enqueued, enqueued)
	for k, d := range changed {
		var failure error
		if results != nil {
			failure = results[k]
		}
		switch {
		case failure == nil:
			e.remember(d.instance)
			out.Committed = append(out.Committed, d.instance.ID)
			out.Enqueued = append(out.Enqueued, d.enqueued...)
			out.Answered = append(out.Answered, d.answered...)
			out.Superseded = append(out.Superseded, d.superseded...)
		case errors.Is(failure, store.ErrConflict), errors.Is(failure, store.ErrEnded):
			e.cache.Remove(d.instance.ID)
			out.Contended = true
			again = append(again, d.inputs...)
			d.undecided = nil
		default:
			e.cache.Remove(d.instance.ID)
			d.undecided = nil
			for _, i := range d.inputs {
				out.Results[i] = Result{Err: fmt.Errorf("commit saga %s: %w", d.instance.ID, failure)}
			}
		}
	}
	slices.Sort(again)
	out.addCostly(order)
	return again, nil
}

// addCostly adds the sagas that have undecided inputs to the output.
func (out *Output) addCostly(drafts []*draft) {
	for _, d := range drafts {
		if len(d.undecided) > 0 {
			d.costly.Inputs = d.undecided
			out.Costly = append(out.Costly, *d.costly)
		}
	}
}

// remember caches an open saga, and removes an ended one from the cache. An ended saga is rarely
// read again, while its input and results would use memory.
func (e *Engine) remember(in *machine.Instance) {
	if in.Open() {
		e.cache.Add(in.ID, in)
	} else {
		e.cache.Remove(in.ID)
	}
}

// doubtful reports whether a result may be based on a stale cache entry: a refusal, or the answer
// that a saga exists. Retention removes sagas without updating the cache. An event that changes
// nothing is not committed, so no conflict reveals that another coordinator changed the saga (I7).
func (e *Engine) doubtful(d *draft, r *Result) bool {
	return d.cached && len(d.events) == 0 && (r.Existed || r.Ignored != "" || r.Err != nil)
}

// reload reads a saga from the store.
func (e *Engine) reload(ctx context.Context, id contract.SagaID, d *draft) {
	e.cache.Remove(id)
	fresh := e.load(ctx, id)
	fresh.inputs = d.inputs
	*d = *fresh
}

// load reads a saga from the cache, or else from the store.
func (e *Engine) load(ctx context.Context, id contract.SagaID) *draft {
	d := &draft{}
	if in, ok := e.cache.Get(id); ok {
		e.hits++
		d.instance, d.cached = in, true
	} else {
		e.misses++
		in, err := e.store.Load(ctx, id)
		switch {
		case err == nil:
			d.instance = in
		case errors.Is(err, store.ErrNotFound):
		case errors.As(err, &d.tombstone):
		default:
			d.unreadable = fmt.Errorf("load saga %s: %w", id, err)
			if !errors.Is(err, store.ErrCorrupt) {
				d.broken = d.unreadable
			}
		}
	}
	if d.instance != nil {
		d.committed = d.instance.Revision
		d.def, d.unreadable = e.definitions.find(d.instance.Definition)
	}
	return d
}

// decide applies one input to a draft.
func (e *Engine) decide(d *draft, input *Input) Result {
	ev := &input.Event
	switch {
	case d.unreadable != nil:
		return Result{Err: d.unreadable}
	case ev.Type == contract.EventStarted && (d.instance != nil || d.tombstone != nil):
		return e.startAgain(d, input)
	case input.Birth != 0 && d.birth() != 0 && input.Birth != d.birth():
		return Result{Err: otherBirth(input, d.birth())}
	case d.tombstone != nil && ev.Type == contract.EventOperationTaken:
		return Result{Err: d.tombstone}
	case d.tombstone != nil:
		return Result{Ignored: machine.IgnoredEnded}
	case d.instance == nil && ev.Type != contract.EventStarted:
		return Result{Err: fmt.Errorf("saga %s: %w", input.Saga, store.ErrNotFound)}
	case input.Expected != 0 && d.instance != nil && d.instance.Revision != input.Expected:
		return Result{Err: &movedError{input.Saga, input.Expected, d.instance.Revision}}
	case input.Command != 0 && !d.awaits(input):
		return Result{Instance: d.instance, Definition: d.def, Ignored: machine.IgnoredStale}
	}
	e.align(input)
	retimed, err := e.retime(d, ev.At)
	var r Result
	switch {
	case err != nil:
		return Result{Err: err}
	case ev.Type == contract.EventClockAdjusted:
		r = Result{Instance: d.instance, Definition: d.def, Ignored: machine.IgnoredNothing}
		if len(retimed) > 0 {
			r.Ignored = ""
		}
	case ev.Type == contract.EventTimerFired && ev.Timer == "":
		r = e.fire(d, input)
	default:
		r = e.apply(d, input, ev)
	}
	if len(retimed) > 0 {
		r.Applied = append(retimed, r.Applied...)
	}
	return r
}

// fire fires a saga's due timers, one after the other.
func (e *Engine) fire(d *draft, input *Input) Result {
	var all []Applied
	for {
		ev, due := machine.DueTimer(d.def.Plan(), d.instance, input.Event.At)
		switch {
		case due:
		case len(all) > 0:
			return Result{Instance: d.instance, Definition: d.def, Applied: all}
		case !d.instance.Open():
			return Result{Instance: d.instance, Definition: d.def, Ignored: machine.IgnoredEnded}
		default:
			return Result{Instance: d.instance, Definition: d.def, Ignored: machine.IgnoredNothing}
		}
		e.explain(d.def, d.instance, &ev)
		r := e.apply(d, input, &ev)
		if r.Err != nil || r.Ignored != "" {
			r.Applied = all
			return r
		}
		all = append(all, r.Applied...)
	}
}

// apply applies one event to a draft: the input's event, or one that follows from it.
func (e *Engine) apply(d *draft, input *Input, ev *machine.Event) Result {
	def := d.def
	var before machine.Instance
	if d.instance != nil {
		before = *d.instance
	} else {
		var err error
		if def, err = e.definitions.find(input.Definition); err != nil {
			return Result{Err: err}
		}
	}
	after, eff, err := e.take(input.Saga, def, before, *ev)
	if errors.Is(err, machine.ErrCostly) {
		d.costly = &Costly{Saga: input.Saga, Definition: def.Ref(), def: def, instance: before, event: *ev}
	}
	if err != nil || eff.Ignored != "" {
		return Result{Instance: d.instance, Definition: d.def, Ignored: eff.Ignored, Err: err}
	}
	d.def, d.instance = def, &after
	d.events = append(d.events, *ev)
	d.discard(eff.Discarded, ev.Type == contract.EventStepAnswered)
	if enqueue := e.writer.records(&after, &eff, ev.At); d.enqueued == nil {
		d.enqueued = enqueue
	} else {
		d.enqueued = append(d.enqueued, enqueue...)
	}
	return Result{Instance: &after, Definition: def, Applied: []Applied{d.applied(before.Phase, waited(def, &before, ev))}}
}

// take decides one event, within the cost budget if there is one.
func (e *Engine) take(id contract.SagaID, def *saga.Definition, in machine.Instance, ev machine.Event) (machine.Instance, machine.Effects, error) {
	if !e.beside {
		return machine.Decide(def.Plan(), in, ev)
	}
	return machine.DecideWithin(e.budget, e.known[id], def.Plan(), in, ev)
}

// startAgain answers a start whose id is in use: by the same start, or by a different saga.
func (e *Engine) startAgain(d *draft, input *Input) Result {
	ev := &input.Event
	if d.tombstone != nil {
		same := d.tombstone.Start.Is(ev.ContentType, ev.Payload) && sameDefinition(d.tombstone.Definition, input.Definition)
		if !same {
			return Result{Err: fmt.Errorf("%w (%s, ended and removed)", ErrIDTaken, d.tombstone.Definition)}
		}
		return Result{Existed: true, Ended: d.tombstone}
	}
	if !d.instance.StartedWith(ev.ContentType, ev.Payload) || !sameDefinition(d.instance.Definition, input.Definition) {
		return Result{Err: fmt.Errorf("%w (%s, started %s)", ErrIDTaken, d.instance.Definition, d.instance.Started.UTC().Format("2006-01-02T15:04:05Z"))}
	}
	return Result{Instance: d.instance, Definition: d.def, Existed: true}
}

// otherBirth returns the error for an answer to an earlier or later saga with the same id.
func otherBirth(input *Input, there contract.Birth) error {
	return fmt.Errorf("saga %s, started at %s (birth %s): %w; the saga with this id was started at %s (birth %s)", input.Saga,
		input.Birth.Time().Format(time.RFC3339Nano), input.Birth, store.ErrNotFound, there.Time().Format(time.RFC3339Nano), there)
}

// sameDefinition reports whether an existing saga's definition satisfies a start. A start without
// a version accepts any version.
func sameDefinition(have, want contract.DefinitionRef) bool {
	return have.Name == want.Name && (want.Version == 0 || want.Version == have.Version)
}
