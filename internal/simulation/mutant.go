package simulation

import (
	"slices"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// This file implements the planted bugs of coordinators and stores. Without a planted bug, these
// functions change nothing.

// spoil alters the changes of a commit.
func (d *disk) spoil(changes []store.Change) []store.Change {
	w := d.n.w
	for i := range changes {
		c := &changes[i]
		switch w.bug {
		case BugPublishesFirst:
			for k := range c.Enqueue {
				_ = d.n.send(&c.Enqueue[k].Envelope)
			}
		case BugInputDamaged:
			if c.Expected == 0 {
				damaged := *c.Instance
				damaged.Input = []byte(`{"n":3}`)
				c.Instance = &damaged
			}
		case BugDecidesByClock:
			moved := *c.Instance
			moved.Updated = d.n.clock()
			c.Instance = &moved
		case BugNotAnnounced:
			c.Enqueue = slices.DeleteFunc(slices.Clone(c.Enqueue), func(r outbox.Record) bool { return !r.Answered() })
		case BugOutboxApart:
			if len(c.Enqueue) > 0 && w.rng.chance(0.05) {
				c.Enqueue = c.Enqueue[:len(c.Enqueue)-1]
			}
		case BugDiscardsEarly:
			for k := range c.Instance.Steps {
				if sent := c.Instance.Steps[k].Current().Command(); sent != 0 && sent <= c.Expected && w.rng.chance(0.1) {
					c.Discard = append(slices.Clip(c.Discard), outbox.ID{Saga: c.Instance.ID, Birth: c.Instance.Birth(), Revision: sent, Index: uint16(k)})
				}
			}
		case BugHistoryLost:
			c.Events = slices.Clone(c.Events)
			for k := range c.Events {
				if c.Events[k].Type == contract.EventStepAnswered && c.Events[k].Outcome == contract.OutcomeRejected {
					c.Events[k].Outcome = contract.OutcomeFailed
				}
			}
		}
	}
	return changes
}

// unguarded makes changes expect the stored revisions, so that the last writer wins.
func (d *disk) unguarded(changes []store.Change) []store.Change {
	if d.n.w.bug != BugNoCAS {
		return changes
	}
	changes = slices.Clone(changes)
	for i := range changes {
		c := &changes[i]
		have, err := d.Load(d.n.w.ctx, c.Instance.ID)
		if err != nil || have.Revision == c.Expected {
			continue
		}
		forced := *c.Instance
		forced.Revision = have.Revision + uint64(len(c.Events))
		c.Expected, c.Instance, c.Enqueue = have.Revision, &forced, nil
	}
	return changes
}

// discardAll discards the commands that the bus has accepted.
func (n *node) discardAll(batch []transport.Envelope, errs []error) {
	taken := map[string]bool{}
	for i := range batch {
		taken[batch[i].ID] = errs[i] == nil
	}
	var ids []outbox.ID
	_ = outbox.All(n.w.ctx, n.volume.store, func(_ outbox.Position, r outbox.Record) bool {
		if r.Answered() && taken[r.Envelope.ID] {
			ids = append(ids, r.ID)
		}
		return true
	})
	_ = n.disk.Discard(n.w.ctx, ids)
}

// loseOutbox discards the whole outbox in a crash.
func (n *node) loseOutbox() {
	if n.w.bug != BugOutboxLost {
		return
	}
	var ids []outbox.ID
	_ = outbox.All(n.w.ctx, n.volume.store, func(_ outbox.Position, r outbox.Record) bool { ids = append(ids, r.ID); return true })
	_ = n.volume.store.Discard(n.w.ctx, ids)
}

// ownTimers returns the due sagas that the process sees.
func (n *node) ownTimers(ids []contract.SagaID) []contract.SagaID {
	switch n.w.bug {
	case BugTimersLost:
	case BugSomeTimersLost:
		return slices.DeleteFunc(ids, func(id contract.SagaID) bool { return id[len(id)-1] == '3' })
	default:
		return ids
	}
	return slices.DeleteFunc(ids, func(id contract.SagaID) bool { return n.life > 1 && !n.moved[id] })
}

// woken returns the input for a saga that is due.
func (n *node) woken(id contract.SagaID, at time.Time) coordinator.Input {
	input := coordinator.Input{Saga: id, Event: machine.Event{Type: contract.EventTimerFired, At: at}}
	outcome := contract.OutcomeRejected
	switch n.w.bug {
	case BugUnknownSkipped:
	case BugUnknownCompleted:
		outcome = contract.OutcomeCompleted
	default:
		return input
	}
	in, def := n.stored(id)
	if in == nil {
		return input
	}
	for i := range in.Steps {
		do, step := &in.Steps[i].Do, def.Step(i)
		if due := do.Due(); do.State() == machine.SideAwaitingAnswer && do.Attempt() >= do.MaxAttempt() && !due.IsZero() && !due.After(n.clock()) {
			input.Event = machine.Event{
				Type: contract.EventStepAnswered, At: n.clock(), Participant: step.Do.Participant, Step: step.Name,
				Direction: contract.DirectionDo, Attempt: do.Attempt(), Outcome: outcome,
			}
		}
	}
	return input
}

// stored returns a saga's stored state and definition, or nil if the saga does not exist.
func (n *node) stored(id contract.SagaID) (*machine.Instance, *saga.Definition) {
	in, err := n.volume.store.Load(n.w.ctx, id)
	if err != nil {
		return nil, nil
	}
	for _, def := range n.w.definitions {
		if def.Ref() == in.Definition {
			return in, def
		}
	}
	return nil, nil
}

// misread alters an answer that the process has received.
func (n *node) misread(input *coordinator.Input, _ *message) {
	if n.w.bug == BugBirthIgnored {
		input.Birth = 0 // matches any saga with the id
	}
	if n.w.bug != BugStaleAccepted && n.w.bug != BugSenderIgnored {
		return
	}
	in, def := n.stored(input.Saga)
	if in == nil {
		return
	}
	for i := range in.Steps {
		switch step := def.Step(i); {
		case step.Name != input.Event.Step:
		case n.w.bug == BugSenderIgnored:
			input.Event.Participant = step.Do.Participant
		case in.Steps[i].Current().Attempt() > 0:
			input.Event.Attempt = in.Steps[i].Current().Attempt()
		}
	}
}

// overreach sends messages that are not pending.
func (n *node) overreach(e *transport.Envelope) {
	switch n.w.bug {
	case BugKeepsSending:
		if e.Type == transport.TypeLifecycle && n.w.healed {
			again := *e
			n.after(calm/1000, func() { _ = n.send(&again) })
		}
	case BugUndoesAtOnce:
		if e.Direction == contract.DirectionUndo && !n.overreaching {
			n.undoAll(e)
		}
	case BugUndoesBeyondReturn:
		if e.Direction == contract.DirectionDo && !n.overreaching {
			if _, def := n.stored(e.Saga); def != nil && beyondPivot(def, e.Step) {
				n.undoAll(e)
			}
		}
	}
}

// beyondPivot reports whether a step comes after a pivot.
func beyondPivot(def *saga.Definition, name contract.StepName) bool {
	pivot := false
	for i := range def.Len() {
		step := def.Step(i)
		if step.Name == name {
			return pivot
		}
		pivot = pivot || step.Kind == contract.KindPivot
	}
	return false
}

// undoAll sends the undo of every completed step at once.
func (n *node) undoAll(e *transport.Envelope) {
	in, def := n.stored(e.Saga)
	if in == nil {
		return
	}
	n.overreaching = true
	defer func() { n.overreaching = false }()
	for i := range in.Steps {
		step := def.Step(i)
		if in.Steps[i].Status() != contract.StepDone || step.Undo == nil {
			continue
		}
		key := contract.Key{Saga: in.ID, Birth: in.Birth(), Step: step.Name, Direction: contract.DirectionUndo}
		undo := *e
		undo.Subject = transport.Subjects{}.Command(step.Undo.Participant, step.Undo.Action)
		undo.ID, undo.Step, undo.Direction, undo.Attempt = key.String()+"/1", step.Name, contract.DirectionUndo, 1
		undo.ReplyTo = transport.Subjects{}.Event(step.Undo.Participant, key, 1)
		undo.Data = []byte(`{"request":{"n":1},"result":{"done":true}}`)
		_ = n.send(&undo)
	}
}

// answerUnseen answers a do before it is executed.
func (s *service) answerUnseen(m *message) {
	c := &m.envelope
	if c.Type != transport.TypeCommand || c.Direction != contract.DirectionDo || c.ReplyTo == "" {
		return
	}
	_ = s.publish(&transport.Envelope{
		Subject: c.ReplyTo, Type: transport.TypeCompleted, TraceParent: c.TraceParent, Saga: c.Saga, Birth: c.Birth, Step: c.Step,
		Direction: c.Direction, Attempt: c.Attempt, Data: []byte(`{"done":true}`), ContentType: transport.JSON,
	})
}
