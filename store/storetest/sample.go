package storetest

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/transport"
)

// Epoch is the start time of samples.
var Epoch = time.Date(2026, 11, 1, 8, 0, 0, 123456789, time.UTC)

// Checkout is the definition of samples.
var Checkout = contract.DefinitionRef{Name: "checkout", Version: 3}

// timeout is the timeout of a sample's attempts.
const timeout = 30 * time.Second

// steps lists the steps of a sample.
var steps = []string{"reserve-stock", "charge-card", "ship", "send-mail"}

// Definition returns the stored form of a definition with four steps; note makes its content
// unique.
func Definition(name string, version int, note string) (store.Definition, error) {
	d, err := define(name, version, note)
	if err != nil {
		return store.Definition{}, err
	}
	return store.DefinitionOf(d)
}

func define(name string, version int, note string) (*saga.Definition, error) {
	do := func(action string) saga.Action {
		return saga.Action{Participant: "shop", Action: action}
	}
	undo := do("release-stock" + note)
	return saga.New(saga.Spec{Name: name, Version: version, Steps: []saga.Node{
		{Step: &saga.Step{Name: "reserve-stock", Kind: contract.KindCompensable, Do: do("reserve-stock"), Undo: &undo}},
		{Step: &saga.Step{Name: "charge-card", Kind: contract.KindPivot, Do: do("charge-card")}},
		{Step: &saga.Step{Name: "ship", Kind: contract.KindRetriable, Do: do("ship")}},
		{Step: &saga.Step{Name: "send-mail", Kind: contract.KindRetriable, Do: do("send-mail")}},
	}})
}

// Start returns the start of a saga with four steps: one event, one pending command, one timer.
func Start(id contract.SagaID, ref contract.DefinitionRef, at time.Time) store.Change {
	in := &machine.Instance{
		Start: machine.Start{
			ID:          id,
			Definition:  ref,
			Fingerprint: fmt.Sprintf("%064x", len(ref.Name)*1000+ref.Version),
			Input:       fmt.Appendf(nil, `{"order":%q,"customer":"c-4711","lines":[{"sku":"chair","quantity":4},{"sku":"table","quantity":1}],"total_cents":48900}`, id),
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Started:     at,
		},
		Revision:    1,
		Phase:       contract.PhaseRunning,
		Updated:     at,
		ClockOffset: -time.Hour,
		Steps:       make([]machine.StepState, len(steps)),
	}
	in.StateBytes = len(in.Input)
	event := machine.Event{Type: contract.EventStarted, At: at, ID: id, Payload: in.Input, TraceParent: in.TraceParent, ClockOffset: in.ClockOffset}
	return ask(store.Change{Instance: in, Events: []machine.Event{event}}, 0, contract.DirectionDo, at)
}

// Next returns the next change of a saga: the step in progress is answered and the next one is
// requested, forward or in compensation. A saga without a step in progress only gets an event.
func Next(in *machine.Instance, at time.Time) store.Change {
	i := underWay(in)
	c := answer(in, i, contract.OutcomeCompleted, "", at)
	if i < 0 {
		return c
	}
	s := &c.Instance.Steps[i]
	if in.Phase == contract.PhaseCompensating {
		put(s, contract.DirectionUndo, machine.SideData{State: machine.SideUndone})
		return back(c, i-1, at)
	}
	put(s, contract.DirectionDo, machine.SideData{State: machine.SideDone})
	s.Result = fmt.Appendf(nil, `{"step":%d,"reference":"r-%d"}`, i, at.UnixNano())
	c.Events[0].Payload = s.Result
	c.Instance.StateBytes += len(s.Result)
	if i+1 < len(c.Instance.Steps) {
		return ask(c, i+1, contract.DirectionDo, at)
	}
	return end(c, contract.PhaseCompleted, at)
}

// Reject rejects the step in progress, so that the saga compensates.
func Reject(in *machine.Instance, at time.Time) store.Change {
	i := underWay(in)
	c := answer(in, i, contract.OutcomeRejected, "card declined", at)
	if i < 0 || in.Phase != contract.PhaseRunning {
		return c
	}
	put(&c.Instance.Steps[i], contract.DirectionDo, machine.SideData{State: machine.SideRejected, Reason: "card declined"})
	c.Instance.Phase = contract.PhaseCompensating
	c.Instance.Cause = &machine.Cause{Kind: machine.CauseRejected, Step: contract.StepName(steps[i]), Reason: "card declined", At: at}
	return back(c, i-1, at)
}

// Park parks the step in progress.
func Park(in *machine.Instance, at time.Time) store.Change {
	i := underWay(in)
	c := answer(in, i, contract.OutcomeFailed, "no such customer", at)
	if i < 0 {
		return c
	}
	c.Instance.Phase = contract.PhaseParked
	s := &c.Instance.Steps[i]
	put(s, s.Direction(), machine.SideData{State: machine.SideParkedUnknown, Parked: at, Reason: "no such customer"})
	return c
}

// Abandon ends a saga in its current state.
func Abandon(in *machine.Instance, at time.Time) store.Change {
	c := change(in, machine.Event{Type: contract.EventOperationTaken, At: at, Operation: contract.OperationAbandon, By: "mallory", Reason: "test"})
	for i := range c.Instance.Steps {
		c.Discard = discard(c.Discard, in, i)
		if s := &c.Instance.Steps[i]; s.Current().State() == machine.SideAwaitingAnswer {
			put(s, s.Direction(), machine.SideData{State: machine.SideAwaitingAnswer})
		}
	}
	return end(c, contract.PhaseParked, at)
}

// underWay returns the index of the step in progress, or -1 if there is none.
func underWay(in *machine.Instance) int {
	for i := range in.Steps {
		if in.Steps[i].Current().State() == machine.SideAwaitingAnswer {
			return i
		}
	}
	return -1
}

// change copies the state, so that the original stays unchanged.
func change(in *machine.Instance, e machine.Event) store.Change {
	next := *in
	next.Steps = append([]machine.StepState(nil), in.Steps...)
	next.Revision++
	next.Updated = e.At
	return store.Change{Expected: in.Revision, Instance: &next, Events: []machine.Event{e}}
}

// answer records an outcome of step i and discards the step's command.
func answer(in *machine.Instance, i int, outcome contract.Outcome, reason string, at time.Time) store.Change {
	if i < 0 {
		return change(in, machine.Event{Type: contract.EventTimerFired, Timer: contract.TimerDeadline, At: at})
	}
	direction := contract.DirectionDo
	if in.Phase == contract.PhaseCompensating {
		direction = contract.DirectionUndo
	}
	c := change(in, machine.Event{
		Type: contract.EventStepAnswered, At: at, Participant: participant(i), Step: contract.StepName(steps[i]),
		Direction: direction, Attempt: in.Steps[i].Current().Attempt(), Outcome: outcome, Reason: reason,
	})
	c.Discard = discard(nil, in, i)
	s := &c.Instance.Steps[i]
	put(s, s.Direction(), machine.SideData{State: machine.SideAwaitingAnswer})
	return c
}

// put replaces the data of one direction of a step, but keeps its number of attempts.
func put(s *machine.StepState, direction contract.Direction, d machine.SideData) {
	side := s.Side(direction)
	d.Attempt, d.MaxAttempt = max(d.Attempt, side.Attempt()), max(d.MaxAttempt, side.MaxAttempt())
	made, err := machine.NewSide(direction, d)
	if err != nil {
		panic(err)
	}
	*side = made
}

func discard(ids []outbox.ID, in *machine.Instance, i int) []outbox.ID {
	if sent := in.Steps[i].Current().Command(); sent != 0 {
		ids = append(ids, outbox.ID{Saga: in.ID, Birth: in.Birth(), Revision: sent})
	}
	return ids
}

// participant returns the participant of step i. Adjacent steps have different participants.
func participant(i int) string { return []string{"shop", "bank"}[i%2] }

// ask enqueues a command for step i and sets its timer.
func ask(c store.Change, i int, direction contract.Direction, at time.Time) store.Change {
	in := c.Instance
	put(&in.Steps[i], direction, machine.SideData{State: machine.SideAwaitingAnswer, Attempt: 1, MaxAttempt: 3, Due: at.Add(timeout), Command: in.Revision})
	key := fmt.Sprintf("%s/%s/%s/%s/1", in.ID, in.Birth(), steps[i], direction)
	c.Enqueue = append(c.Enqueue, outbox.Record{
		ID: outbox.ID{Saga: in.ID, Birth: in.Birth(), Revision: in.Revision},
		To: outbox.Destination(participant(i)),
		Envelope: transport.Envelope{
			Subject:     "saga.command." + participant(i) + "." + steps[i],
			DedupID:     fmt.Sprintf("%x", sha256.Sum256([]byte(key)))[:32],
			ID:          key,
			Source:      "/amends/coordinator",
			Type:        transport.TypeCommand,
			Time:        at,
			ContentType: transport.JSON,
			TraceParent: in.TraceParent,
			Saga:        in.ID,
			Birth:       in.Birth(),
			Definition:  in.Definition,
			Step:        contract.StepName(steps[i]),
			Direction:   direction,
			Attempt:     1,
			ReplyTo:     "saga.event." + participant(i) + "." + key,
			Expires:     at.Add(timeout),
			Data:        in.Input,
		},
	})
	return c
}

// back undoes step i, or ends the saga if nothing is left to undo.
func back(c store.Change, i int, at time.Time) store.Change {
	if i < 0 {
		return end(c, contract.PhaseCompensated, at)
	}
	return ask(c, i, contract.DirectionUndo, at)
}

// end ends the saga and enqueues its announcement.
func end(c store.Change, phase contract.Phase, at time.Time) store.Change {
	in := c.Instance
	in.Phase, in.Ended = phase, at
	c.Enqueue = append(c.Enqueue, outbox.Record{
		ID: outbox.ID{Saga: in.ID, Birth: in.Birth(), Revision: in.Revision, Index: 1},
		Envelope: transport.Envelope{
			Subject: fmt.Sprintf("saga.lifecycle.%s.%s", in.Definition.Name, phase), ID: fmt.Sprintf("%s@%d", in.ID, in.Revision),
			Source: "/amends/coordinator", Type: transport.TypeLifecycle, Time: at, Saga: in.ID, Birth: in.Birth(), Definition: in.Definition,
		},
	})
	return c
}
