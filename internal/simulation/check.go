package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/amends-dev/amends/compensation"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
)

// Violation describes a violated invariant.
type Violation struct {
	Invariant string // I1 … I11
	What      string
}

// String returns the violation as one line.
func (v Violation) String() string { return v.Invariant + ": " + v.What }

// maxViolations is the maximum number of violations reported per run.
const maxViolations = 100

// audit checks a history record by record, and holds the state before the current record.
type audit struct {
	w          *world
	volume     *volume // the volume whose history it checks
	commits    int
	violations []Violation
	phases     map[contract.Phase]int // number of stored sagas in each phase, at the end
	sagas      map[identity]*account
	runs       map[contract.SagaID][]*account // in the order of their starts
	entries    map[outbox.ID]*entry
	messages   map[string]*entry // keyed by message id

	asked identity // the saga of the last call of account
	found *account
}

// identity distinguishes sagas with the same id by the trace context of their start. It exists only
// in the simulator: it is in no key, subject or start record.
type identity struct {
	id  contract.SagaID
	run string
}

// account holds what the audit knows about one saga.
type account struct {
	id       contract.SagaID
	def      *saga.Definition
	shape    *shape
	last     *machine.Instance // the last committed state; nil if none
	events   int               // number of committed events
	steps    []ledger
	writer   string        // the coordinator that committed last
	accepted string        // the input of the accepted start; "" if none
	never    []answer      // attempts whose command the bus will never accept
	removed  bool          // removed by retention
	shared   bool          // a copy of the store has also sent commands for the saga
	at       time.Duration // time of the last commit
	life     int           // life of the process that made the last commit
	answered []answer      // given by participants
	moved    []moved       // committed answers
}

// ledger holds what the audit knows about one step at its participant.
type ledger struct {
	effects, undos int
	tombstone      bool // the undo was answered as completed
	vouched        bool // an operator has asserted its outcome
	weak           bool // the participant has no inbox
	due            due
}

// due is the time at which a step's timer is due. at is this time in virtual time.
type due struct {
	even time.Time // by the saga's clock, without the adjustments of this clock
	at   time.Duration
}

func (l *ledger) net() int { return l.effects - l.undos }

// trusted reports whether the participant's effects must match the phase.
func (l *ledger) trusted() bool { return !l.vouched && !l.weak }

// entry is an outbox entry of a commit.
type entry struct {
	id        outbox.ID
	of        *account
	answered  bool // a command, which its answer discards
	sent      bool // accepted by the bus
	discarded bool
}

// answer identifies an answer to one attempt.
type answer struct {
	who       string
	step      contract.StepName
	direction contract.Direction
	attempt   int
	outcome   contract.Outcome
}

// moved is a committed answer with its data, which may be damaged.
type moved struct {
	answer

	data string
}

// gave reports whether the participant has given answer a. If a has no outcome, gave reports
// whether the participant has given any answer to the attempt.
func (acc *account) gave(a answer) bool {
	for i := range acc.answered {
		have := &acc.answered[i]
		if have.attempt == a.attempt && have.step == a.step && have.who == a.who && have.direction == a.direction &&
			(a.outcome == "" || have.outcome == a.outcome) {
			return true
		}
	}
	return false
}

// rule checks one invariant for one record, against the audit's state before the record.
type rule struct {
	invariant string
	holds     func(a *audit, r *Record) string // returns the violation, or "" if there is none
}

// rules lists the invariants that are checked for every record.
var rules = [...]rule{
	{"I1", onlyCommittedLeaves},
	{"I1", acknowledgedAfterCommit},
	{"I1", enqueuedInTheCommit},
	{"I2", nothingForgotten},
	{"I2", onlyTheEndedIsRemoved},
	{"I2", answersBeforeTimers},
	{"I3", timeoutsAreTrue},
	{"I4", undoneInOrder},
	{"I4", doneInOrder},
	{"I5", onceAKey},
	{"I7", oneWriter},
	{"I9", answersAreReal},
	{"I10", attemptsBounded},
}

func newAudit(w *world, v *volume) *audit {
	return &audit{
		w: w, volume: v, phases: map[contract.Phase]int{}, sagas: map[identity]*account{}, runs: map[contract.SagaID][]*account{}, entries: map[outbox.ID]*entry{},
		messages: map[string]*entry{},
	}
}

// take checks the next record and updates the state, without keeping the record.
func (a *audit) take(r *Record) {
	a.check(r)
	a.learn(r)
}

func (a *audit) check(r *Record) {
	for k := range rules {
		if what := rules[k].holds(a, r); what != "" {
			a.violated(rules[k].invariant, "%s (at %s)", what, r.At)
		}
	}
}

func (a *audit) violated(invariant, format string, args ...any) {
	if len(a.violations) < maxViolations {
		a.violations = append(a.violations, Violation{invariant, fmt.Sprintf(format, args...)})
	}
}

// account returns the account of a record's saga, and creates the account if there is none. A
// record without Run belongs to the latest saga with the same id.
func (a *audit) account(r *Record) *account {
	who := identity{r.Saga, r.Run}
	if a.found != nil && a.asked == who && r.Run != "" {
		return a.found
	}
	acc := a.sagas[who]
	if runs := a.runs[r.Saga]; r.Run == "" && len(runs) > 0 {
		acc = runs[len(runs)-1]
	}
	if acc == nil {
		acc = a.open(r.Saga)
		a.sagas[who] = acc
	}
	a.asked, a.found = who, acc
	return acc
}

// open creates an account.
func (a *audit) open(id contract.SagaID) *account {
	acc := &account{id: id}
	for _, c := range a.w.callers {
		if c.id != id {
			continue
		}
		acc.def, acc.shape = c.def, a.w.shapes[c.def]
		acc.steps = make([]ledger, len(acc.shape.steps))
		for i := range acc.steps {
			acc.steps[i].weak = a.w.services[acc.shape.steps[i].Do.Participant].weak
		}
	}
	return acc
}

// step returns a step's index and ledger, or 0 and nil if the saga has no such step.
func (acc *account) step(name contract.StepName) (int, *ledger) {
	for i := range acc.steps {
		if acc.shape.steps[i].Name == name {
			return i, &acc.steps[i]
		}
	}
	return 0, nil
}

// learn updates the audit's state with a record.
func (a *audit) learn(r *Record) {
	switch r.Kind {
	case Committed:
		a.committed(r)
	case Sent:
		if d := a.messages[r.Message]; d != nil {
			d.sent = d.sent || r.Taken
		}
		if r.Never {
			acc := a.account(r)
			acc.never = append(acc.never, answer{step: r.Step, direction: r.Direction, attempt: r.Attempt})
		}
	case Discarded:
		if d := a.entries[r.Entry]; d != nil {
			d.discarded = true
		}
	case Answered:
		acc := a.account(r)
		if given := (answer{r.Who, r.Step, r.Direction, r.Attempt, r.Outcome}); !acc.gave(given) {
			acc.answered = append(acc.answered, given)
		}
		if i, l := acc.step(r.Step); l != nil && r.Who == acc.shape.steps[i].Do.Participant && r.Direction == contract.DirectionUndo && r.Outcome == contract.OutcomeCompleted {
			l.tombstone = true
		}
	case Effect:
		if _, l := a.account(r).step(r.Step); l != nil {
			if l.weak && l.effects > 0 {
				a.w.coverage[EffectTwice]++
			}
			l.effects++
		}
	case Undone:
		if _, l := a.account(r).step(r.Step); l != nil {
			l.undos++
		}
	case Accepted:
		a.account(r).accepted = r.Input
	case Forgotten:
		a.forgotten(a.account(r))
	case Acknowledged, Served, Refused, Crashed, Restarted, Disturbed, Healed, Claimed, Subscribed, HandedBack, Ended:
	}
}

func (a *audit) committed(r *Record) {
	acc, c := a.account(r), r.Change
	a.commits++
	acc.see(r, &a.w.coverage)
	if acc.last == nil {
		if a.runs[r.Saga] = append(a.runs[r.Saga], acc); len(a.runs[r.Saga]) > 1 {
			a.w.coverage[IDAgain]++
		}
	}
	acc.learnDue(a.w, c.Instance)
	acc.last, acc.writer, acc.at, acc.life = c.Instance, r.Who, r.At, r.life
	acc.events += len(c.Events)
	for i := range c.Enqueue {
		d := &entry{id: c.Enqueue[i].ID, of: acc, answered: c.Enqueue[i].Answered()}
		a.entries[d.id], a.messages[c.Enqueue[i].Envelope.ID] = d, d
	}
	for _, id := range c.Discard {
		if d := a.entries[id]; d != nil {
			d.discarded = true
		}
	}
	for i := range c.Events {
		ev := &c.Events[i]
		acc.vouch(ev)
		if ev.Type == contract.EventStepAnswered {
			acc.moved = append(acc.moved, moved{answer{ev.Participant, ev.Step, ev.Direction, ev.Attempt, ev.Outcome}, string(ev.Payload)})
		}
		// A retry of a command that was never sent repeats the same attempt, which may be refused
		// again.
		if ev.Type == contract.EventOperationTaken && ev.Operation == contract.OperationRetry {
			acc.moved = slices.DeleteFunc(acc.moved, func(m moved) bool {
				return m.answer.outcome == contract.OutcomeNotSent && m.answer.step == ev.Step
			})
		}
	}
}

// forgotten records that retention has removed a saga together with its pending messages.
func (a *audit) forgotten(acc *account) {
	acc.removed = true
	for _, d := range a.entries {
		d.discarded = d.discarded || d.of == acc
	}
}

// vouch records the steps whose outcome an operator's decision asserts.
func (acc *account) vouch(ev *machine.Event) {
	if ev.Type != contract.EventOperationTaken {
		return
	}
	switch ev.Operation {
	case contract.OperationResolve, contract.OperationSkip:
		for i := range acc.steps {
			if ev.Step == "" || acc.shape.steps[i].Name == ev.Step {
				acc.steps[i].vouched = true
			}
		}
	case contract.OperationAbandon, contract.OperationCompensate:
		for i := range acc.steps {
			acc.steps[i].vouched = true
		}
	}
}

// follows reports whether step b comes after step a in a sequence that contains both.
func follows(n *compensation.Node, a, b int) bool {
	for i := range n.Children {
		if follows(&n.Children[i], a, b) {
			return true
		}
		if n.Shape != compensation.Sequence || !holds(&n.Children[i], a) {
			continue
		}
		for k := i + 1; k < len(n.Children); k++ {
			if holds(&n.Children[k], b) {
				return true
			}
		}
	}
	return false
}

func holds(n *compensation.Node, step int) (found bool) {
	n.Leaves(func(leaf *compensation.Node) bool { found = leaf.Step == step; return !found })
	return found
}
