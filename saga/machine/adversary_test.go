package machine_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// TestAdversary runs random definitions against participants with an inbox. The network loses,
// repeats, delays and reorders messages. There are rejections, failures, timeouts, crashes between
// commit and answer, and operations at any moment. After every decision and at the end, the test
// checks I3, I4, I6, I8 and the effect of I5.
func TestAdversary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(0, 60).Draw(t, "chaos") {
			w.chaos()
		}
		w.heal()
		w.atRest()
	})
}

// world holds a saga, its participants and the network between them.
type world struct {
	t        *rapid.T
	def      *saga.Definition
	in       machine.Instance
	at       time.Time
	history  []machine.Event
	network  []any // Commands to participants and Events to the coordinator
	inbox    map[contract.StepName]*entry
	pending  map[machine.CommandRef]bool
	vouched  map[contract.StepName]bool // an operator took responsibility for the step's effect
	healed   bool
	commands int
}

// entry holds what a participant's inbox and database record about a step.
type entry struct {
	do, undo contract.Outcome // "" if nothing is recorded
	effects  int              // how often the do took effect
	undos    int
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, at: epoch, inbox: map[contract.StepName]*entry{}, pending: map[machine.CommandRef]bool{}, vouched: map[contract.StepName]bool{}}
	def, err := saga.New(randomSpec(t))
	if err != nil {
		t.Fatal(err)
	}
	w.def = def
	for i := range def.Len() {
		w.inbox[def.Step(i).Name] = &entry{}
	}
	w.decide(machine.Event{Type: contract.EventStarted, At: w.at, ID: "s1", Payload: []byte(`{"n":1}`)})
	return w
}

func randomSpec(t *rapid.T) saga.Spec {
	spec := saga.Spec{Name: "random", Version: 1}
	if rapid.Bool().Draw(t, "has deadline") {
		spec.Deadline = saga.Duration(time.Duration(rapid.IntRange(1, 120).Draw(t, "deadline")) * time.Second)
	}
	blocks := rapid.IntRange(1, 4).Draw(t, "blocks")
	pivot := rapid.IntRange(-1, blocks-1).Draw(t, "pivot")
	forward := rapid.IntRange(0, 1).Draw(t, "retriable from") * blocks / 2
	n := 0
	step := func(kind contract.Kind) saga.Node {
		n++
		s := saga.Step{Name: contract.StepName(fmt.Sprintf("s%d", n)), Kind: kind, Do: randomAction(t, fmt.Sprintf("p%d", n), "do")}
		if rapid.IntRange(0, 2).Draw(t, "mapped") == 0 {
			s.Do.With = `{"n": input.n, "twice": input.n * 2}`
		}
		if kind == contract.KindCompensable {
			if rapid.IntRange(0, 5).Draw(t, "needless") == 0 {
				s.NothingToUndo = true
			} else {
				undo := randomAction(t, fmt.Sprintf("p%d", n), "undo")
				s.Undo = &undo
			}
		}
		return saga.Node{Step: &s}
	}
	var block func(kind contract.Kind, depth int) saga.Node
	block = func(kind contract.Kind, depth int) saga.Node {
		if depth == 0 || rapid.IntRange(0, 2).Draw(t, "nested") > 0 {
			return step(kind)
		}
		var children []saga.Node
		for range rapid.IntRange(1, 3).Draw(t, "children") {
			children = append(children, block(kind, depth-1))
		}
		if rapid.Bool().Draw(t, "parallel") {
			return saga.Node{Parallel: children}
		}
		return saga.Node{Sequence: children}
	}
	for b := range blocks {
		switch {
		case pivot >= 0 && b == pivot:
			spec.Steps = append(spec.Steps, step(contract.KindPivot))
		case pivot >= 0 && b > pivot, pivot < 0 && forward > 0 && b >= forward:
			spec.Steps = append(spec.Steps, block(contract.KindRetriable, 2))
		default:
			spec.Steps = append(spec.Steps, block(contract.KindCompensable, 2))
		}
	}
	return spec
}

func randomAction(t *rapid.T, participant, action string) saga.Action {
	return saga.Action{
		Participant: participant, Action: action,
		Timeout: saga.Duration(time.Duration(rapid.IntRange(1, 10).Draw(t, "timeout")) * time.Second),
		Retry: saga.RetryPolicy{
			Attempts:        rapid.IntRange(1, 3).Draw(t, "attempts"),
			InitialInterval: saga.Duration(time.Second), MaxInterval: saga.Duration(4 * time.Second),
		},
	}
}

// decide applies an event, and checks everything that must hold after any event.
func (w *world) decide(ev machine.Event) {
	before := w.in
	after, eff, err := machine.Decide(w.def.Plan(), w.in, ev)
	if err != nil {
		w.t.Fatalf("%+v: %v", ev, err)
	}
	if again, effAgain, _ := machine.Decide(w.def.Plan(), before, ev); !cmp.Equal(after, again) || !cmp.Equal(eff, effAgain) {
		w.t.Fatalf("I6: Decide is not pure for %+v", ev)
	}
	storable(w.t, &after)
	w.within(&before, ev, &after, &eff)
	if eff.Ignored != "" {
		if !cmp.Equal(before, after) {
			w.t.Fatalf("an ignored event changed the saga: %+v", ev)
		}
		return
	}
	if !before.Open() && before.Revision > 0 {
		w.t.Fatalf("I8: an ended saga moved on %+v", ev)
	}
	w.in, w.history = after, append(w.history, ev)
	for _, ref := range eff.Discarded {
		if !w.pending[ref] {
			w.t.Fatalf("discarded a command that is not pending: %+v", ref)
		}
		delete(w.pending, ref)
	}
	for _, c := range eff.Commands {
		w.send(c, &before)
	}
	if !after.Open() && len(w.pending) > 0 {
		w.t.Fatalf("the saga ended and still has pending %v", w.pending)
	}
	switch {
	case after.Paused != nil && len(eff.Commands) > 0:
		w.t.Fatalf("%+v sends %v although the saga is paused", ev, eff.Commands)
	case after.Paused != nil && (!after.Wake().IsZero() || !after.Open()):
		w.t.Fatalf("a paused saga wants to be woken, or has ended: %+v", after)
	case after.Open() && after.Phase != contract.PhaseParked && after.Paused == nil && after.Wake().IsZero():
		w.t.Fatalf("I2: nothing will ever move this saga again: %+v", after)
	}
}

// within checks that the decision is the same if mappings are evaluated separately, and that
// nothing is decided before that (I6).
func (w *world) within(before *machine.Instance, ev machine.Event, want *machine.Instance, effects *machine.Effects) {
	after, eff, err := machine.DecideWithin(machine.NewCostBudget(0), nil, w.def.Plan(), *before, ev)
	if errors.Is(err, machine.ErrCostly) {
		if !cmp.Equal(after, *before) || !cmp.Equal(eff, machine.Effects{}) {
			w.t.Fatalf("I6: something is decided although a mapping was not evaluated: %+v", ev)
		}
		after, eff, err = machine.DecideWithin(machine.NewCostBudget(0), machine.Evaluate(w.def.Plan(), *before, ev), w.def.Plan(), *before, ev)
	}
	if err != nil || !cmp.Equal(after, *want) || !cmp.Equal(eff, *effects) {
		w.t.Fatalf("I6: it is decided otherwise where mappings are evaluated beside: %+v: %v\n%s", ev, err, cmp.Diff(*want, after)+cmp.Diff(*effects, eff))
	}
}

// send checks I4 for a command that is sent.
func (w *world) send(c machine.Command, before *machine.Instance) {
	w.commands++
	ref := machine.CommandRef{Index: c.Index, Step: c.Step, Direction: c.Direction, Revision: w.in.Revision}
	w.pending[ref] = true
	w.network = append(w.network, c)
	if c.Direction == contract.DirectionDo {
		if w.in.Cause != nil {
			w.t.Fatalf("I4: %s is done while the saga goes back", c.Step)
		}
		return
	}
	if compensation.PastPivot(w.def.Tree(), w.in.State) {
		w.t.Fatalf("I4: %s is undone past the point of no return", c.Step)
	}
	for i := range w.in.Steps {
		if w.in.Steps[i].Status() == contract.StepDoing {
			w.t.Fatalf("I4: %s is undone while %s has not ended", c.Step, w.def.Step(i).Name)
		}
		if comesAfter(w.def.Tree(), c.Index, i) && w.mustBeUndone(i) {
			w.t.Fatalf("I4: %s is undone before %s, which comes after it", c.Step, w.def.Step(i).Name)
		}
	}
	if s := before.Steps[c.Index].Status(); s == contract.StepRejected || s == contract.StepPending {
		w.t.Fatalf("I4: %s is undone and was %s", c.Step, s)
	}
}

// mustBeUndone reports whether a step may have happened and is not undone.
func (w *world) mustBeUndone(i int) bool {
	s := w.in.Steps[i].Status()
	return (s == contract.StepDone || s == contract.StepUnknown || s == contract.StepUndoing) && w.def.Step(i).Undo != nil
}

// comesAfter reports whether leaf b comes after leaf a in a sequence that contains both.
func comesAfter(n *compensation.Node, a, b int) bool {
	for i := range n.Children {
		if comesAfter(&n.Children[i], a, b) {
			return true
		}
		if n.Shape != compensation.Sequence || !holds(&n.Children[i], a) {
			continue
		}
		for j := i + 1; j < len(n.Children); j++ {
			if holds(&n.Children[j], b) {
				return true
			}
		}
	}
	return false
}

func holds(n *compensation.Node, leaf int) (found bool) {
	n.Leaves(func(l *compensation.Node) bool { found = l.Step == leaf; return !found })
	return found
}

// chaos causes one random event.
func (w *world) chaos() {
	choice := rapid.IntRange(0, 99).Draw(w.t, "what")
	switch {
	case choice < 65 && len(w.network) > 0:
		w.deliver(rapid.IntRange(0, len(w.network)-1).Draw(w.t, "which"), rapid.IntRange(0, 9).Draw(w.t, "fate"))
	case choice < 85:
		w.at = w.at.Add(time.Duration(rapid.IntRange(0, 12_000).Draw(w.t, "ms")) * time.Millisecond)
		w.fire()
	case choice < 88:
		w.at = w.at.Add(-time.Duration(rapid.IntRange(0, 3).Draw(w.t, "back")) * time.Second) // the clock was set back
	case choice < 92 && !w.in.Open():
	default:
		w.operate()
	}
}

// fire fires the timer that is due, or sometimes one that is not.
func (w *world) fire() {
	ev, due := machine.DueTimer(w.def.Plan(), &w.in, w.at)
	if !due {
		w.decide(machine.Event{Type: contract.EventTimerFired, At: w.at, Timer: contract.TimerDeadline})
	}
	for ; due; ev, due = machine.DueTimer(w.def.Plan(), &w.in, w.at) {
		w.decide(ev)
	}
}

// operate applies a random operation that is legal now.
func (w *world) operate() {
	legal := machine.Legal(w.def.Plan(), &w.in)
	if len(legal) == 0 {
		return
	}
	v := legal[rapid.IntRange(0, len(legal)-1).Draw(w.t, "operation")]
	ev := machine.Event{Type: contract.EventOperationTaken, At: w.at, Operation: v.Operation, Step: v.Step, By: "kim", Reason: "because"}
	switch v.Operation {
	case contract.OperationResolve:
		ev.Outcome = contract.OutcomeCompleted
		w.vouched[v.Step] = true
	case contract.OperationSkip:
		w.vouched[v.Step] = true
	case contract.OperationAbandon, contract.OperationCompensate:
		for name := range w.inbox {
			w.vouched[name] = true
		}
	}
	w.decide(ev)
}

// deliver takes a message from the network. With fate 0 it is lost, with 1 it is delivered and
// delivered again later, otherwise it is delivered once.
func (w *world) deliver(k, fate int) {
	message := w.network[k]
	if fate != 1 {
		w.network = slices.Delete(w.network, k, k+1)
	}
	if fate == 0 {
		return
	}
	switch m := message.(type) {
	case machine.Command:
		w.serve(m)
	case machine.Event:
		m.At = w.at
		w.decide(m)
	}
}

// serve handles a command as a participant with an inbox does.
func (w *world) serve(c machine.Command) {
	e, i := w.inbox[c.Step], c.Index
	answer := machine.Event{
		Type: contract.EventStepAnswered, Participant: c.Participant, Step: c.Step, Direction: c.Direction, Attempt: c.Attempt,
		Outcome: contract.OutcomeCompleted, Reason: "why not",
	}
	behaviour := 9
	if !w.healed {
		behaviour = rapid.IntRange(0, 9).Draw(w.t, "behaviour")
	}
	switch {
	case behaviour == 0: // crashes before any effect
		return
	case behaviour == 1 && c.Direction == contract.DirectionDo && e.do == "" && e.undo == "" || behaviour == 1 && c.Direction == contract.DirectionUndo && e.undo == "":
		answer.Outcome, answer.Final = contract.OutcomeFailed, rapid.Bool().Draw(w.t, "final")
		w.network = append(w.network, answer)
		return
	case c.Direction == contract.DirectionDo:
		switch {
		case e.do != "":
		case e.undo != "": // the undo arrived first: tombstone
			e.do = contract.OutcomeRejected
		case behaviour <= 3 && w.def.Step(i).Kind != contract.KindRetriable:
			e.do = contract.OutcomeRejected
		default:
			e.do = contract.OutcomeCompleted
			e.effects++
		}
		answer.Outcome = e.do
	case e.undo == "":
		e.undo = contract.OutcomeCompleted
		if e.do == contract.OutcomeCompleted {
			e.undos++
		}
	}
	if behaviour == 4 { // crashes between its commit and its answer
		return
	}
	w.network = append(w.network, answer)
}

// heal ends all faults. The saga must then end.
func (w *world) heal() {
	w.healed = true
	for range 2000 {
		if !w.in.Open() {
			return
		}
		switch {
		case len(w.network) > 0:
			w.deliver(0, 2)
		case w.in.Paused != nil:
			w.decide(machine.Event{Type: contract.EventOperationTaken, At: w.at, Operation: contract.OperationResume, By: "kim", Reason: "repaired"})
		case w.in.Phase == contract.PhaseParked:
			w.repair()
		default:
			w.at = maxTime(w.at, w.in.Wake())
			w.fire()
		}
	}
	w.t.Fatalf("I2: the saga does not end: %+v", w.in)
}

// repair acts as the operator after the faults: it retries where possible, and otherwise skips.
func (w *world) repair() {
	legal := machine.Legal(w.def.Plan(), &w.in)
	for _, operation := range []contract.Operation{contract.OperationRetry, contract.OperationSkip} {
		for _, v := range legal {
			if v.Operation != operation {
				continue
			}
			if operation == contract.OperationSkip {
				w.vouched[v.Step] = true
			}
			w.decide(machine.Event{Type: contract.EventOperationTaken, At: w.at, Operation: v.Operation, Step: v.Step, By: "kim", Reason: "repaired"})
			return
		}
	}
	w.t.Fatalf("parked without a way out: %v", legal)
}

// atRest delivers all messages in flight and audits the participants.
func (w *world) atRest() {
	for range 1000 {
		if len(w.network) == 0 {
			break
		}
		w.deliver(0, 2)
	}
	folded, err := machine.Fold(w.def.Plan(), w.history)
	if err != nil || !cmp.Equal(folded, w.in, cmpopts.EquateEmpty()) {
		w.t.Fatalf("I8: folding %d events gives another state: %v", len(w.history), err)
	}
	for i := range w.in.Steps {
		step := w.def.Step(i)
		e := w.inbox[step.Name]
		if e.effects > 1 || e.undos > 1 {
			w.t.Fatalf("I5: %s took effect %d times and was undone %d times", step.Name, e.effects, e.undos)
		}
		if w.vouched[step.Name] {
			continue
		}
		net := e.effects - e.undos
		switch {
		case w.in.Phase == contract.PhaseCompleted && net != 1:
			w.t.Fatalf("I3: completed, but the net effect of %s is %d: %+v", step.Name, net, w.in)
		case w.in.Phase == contract.PhaseCompensated && net != 0 && step.Undo != nil:
			w.t.Fatalf("I3: compensated, but the net effect of %s is %d: %+v", step.Name, net, w.in)
		case w.in.Phase == contract.PhaseCompensated && net != 0 && step.Kind != contract.KindCompensable:
			w.t.Fatalf("I4: compensated, but %s, a %s step, took effect", step.Name, step.Kind)
		}
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
