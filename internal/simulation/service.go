package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/transport"
)

// The actions of every participant.
const (
	doAction   = "do"
	undoAction = "undo"
)

func serviceName(i int) string { return fmt.Sprintf("p%d", i+1) }

// errDied is the error that the code of a crashed process sees.
var errDied = errors.New("the process died")

// service is a participant's process: the real participant core on a simulated inbox.
type service struct {
	w         *world
	name      string
	weak      bool // the participant has no inbox
	core      *participant.Participant[*tx]
	inbox     *inbox
	downUntil time.Duration
	dying     bool
	serving   *message
	highest   uint64 // highest claim number that the inbox has seen
}

func newService(w *world, i int, weak bool) *service {
	s := &service{w: w, name: serviceName(i), weak: weak}
	s.inbox = &inbox{s: s, entries: map[participant.StepKey]participant.Entry{}}
	s.core = participant.New(s.name, s.inbox, participant.Logger(slog.New(slog.DiscardHandler)))
	do := contract.NewCommand[json.RawMessage, json.RawMessage](s.name, doAction)
	participant.Handle(s.core, do, s.do)
	participant.HandleUndo(s.core, contract.UndoOf(do, undoAction), s.undo)
	return s
}

// do is the handler of every do. Its outcome is random.
func (s *service) do(ctx context.Context, tx *tx, _ json.RawMessage) (json.RawMessage, error) {
	w, c := s.w, participant.Command(ctx)
	record := Record{Kind: Effect, Who: s.name, Saga: c.Saga, Run: c.TraceParent, Step: c.Step, Direction: c.Direction, Attempt: c.Attempt}
	if w.bug != BugDoNotDone {
		tx.onCommit(func() { s.record(record) })
	}
	beyond := w.retriable(c)
	switch {
	case w.faulty(Fails):
		return nil, errors.New("service unavailable")
	case w.faulty(FailsForGood):
		return nil, participant.Fatal(errors.New("invalid request"))
	case beyond && w.faulty(RejectsBeyond), !beyond && w.faulty(Rejects):
		return nil, participant.Reject("no")
	}
	return json.RawMessage(`{"done":true}`), nil
}

func (s *service) undo(ctx context.Context, tx *tx, _ contract.Undo[json.RawMessage, json.RawMessage]) error {
	w, c := s.w, participant.Command(ctx)
	record := Record{Kind: Undone, Who: s.name, Saga: c.Saga, Run: c.TraceParent, Step: c.Step, Direction: c.Direction, Attempt: c.Attempt}
	if w.bug != BugUndoNotDone {
		tx.onCommit(func() { s.record(record) })
	}
	switch {
	case w.faulty(Fails):
		return errors.New("service unavailable")
	case w.faulty(RejectsUndo):
		return participant.Reject("cannot be undone")
	}
	return nil
}

// step returns the step that a message is about, or a zero step if there is none.
func (w *world) step(e *transport.Envelope, name contract.StepName) *saga.Step {
	for _, def := range w.definitions {
		if def.Ref() != e.Definition {
			continue
		}
		steps := w.shapes[def].steps
		for i := range steps {
			if steps[i].Name == name {
				return &steps[i]
			}
		}
	}
	return &saga.Step{}
}

// retriable reports whether a command is for a retriable step. Retriable steps rarely reject.
func (w *world) retriable(c *transport.Envelope) bool {
	return w.step(c, c.Step).Kind == contract.KindRetriable
}

// owner returns the participant of a step, or "" if there is no such step.
func (w *world) owner(e *transport.Envelope, name contract.StepName) string {
	return w.step(e, name).Do.Participant
}

// receive serves a command after a delay.
func (s *service) receive(m *message) {
	if s.w.now < s.downUntil {
		return
	}
	delay := time.Millisecond
	if s.w.faulty(ServiceSlow) {
		delay = s.w.rng.span(100*time.Millisecond, 20*time.Second)
	}
	s.w.after(delay, func() { s.serve(m) })
}

func (s *service) serve(m *message) {
	w := s.w
	if w.now < s.downUntil {
		return
	}
	s.dying, s.serving = false, m
	if s.older(m) {
		s.handBack(m)
		return
	}
	if w.bug == BugServiceAcksFirst {
		s.served(m)
	}
	if w.bug == BugAnswersFirst {
		s.answerUnseen(m)
	}
	answer, err := s.core.Answer(w.ctx, &m.envelope)
	switch {
	case s.dying:
		s.die("before its commit")
		return
	case err != nil: // not a command: becomes a dead letter
		m.done = true
		return
	case w.faulty(ServiceDiesBeforeAnswer):
		s.die("before its answer")
		return
	}
	if s.publish(answer) != nil {
		return // the bus redelivers the command
	}
	if w.faulty(ServiceDiesBeforeAck) {
		s.die("before its acknowledgement")
		return
	}
	s.served(m)
	if w.faulty(ServiceForges) {
		s.forge(answer)
	}
}

// forge sends an answer for a step that may belong to another participant. The bus ensures that the
// subject names the true sender.
func (s *service) forge(like *transport.Envelope) {
	e := *like
	key := contract.Key{Saga: e.Saga, Birth: e.Birth, Step: stepName(s.w.rng.between(1, 6)), Direction: pick(s.w.rng, []contract.Direction{contract.DirectionDo, contract.DirectionUndo})}
	if owner := s.w.owner(&e, key.Step); owner == "" || owner == s.name {
		return // a participant may send any answer for its own steps
	}
	e.Step, e.Direction, e.Type = key.Step, key.Direction, pick(s.w.rng, []string{transport.TypeCompleted, transport.TypeRejected, transport.TypeFailed})
	e.Subject = transport.Subjects{}.Event(s.name, key, e.Attempt)
	_ = s.publish(&e)
}

// publish hands an answer to the bus.
func (s *service) publish(answer *transport.Envelope) error {
	if err := s.w.bus.publish(answer); err != nil {
		return err
	}
	s.record(Record{
		Kind: Answered, Who: s.name, Saga: answer.Saga, Run: answer.TraceParent, Step: answer.Step, Direction: answer.Direction,
		Attempt: answer.Attempt, Outcome: outcomes[answer.Type],
	})
	return nil
}

var outcomes = map[string]contract.Outcome{
	transport.TypeCompleted: contract.OutcomeCompleted,
	transport.TypeRejected:  contract.OutcomeRejected,
	transport.TypeFailed:    contract.OutcomeFailed,
}

// served acknowledges a command.
func (s *service) served(m *message) {
	e := &m.envelope
	m.done = true
	s.record(Record{Kind: Served, Who: s.name, Saga: e.Saga, Run: e.TraceParent, Step: e.Step, Direction: e.Direction, Attempt: e.Attempt})
}

// record adds a record to the history, under the claim of the command that is being served.
func (s *service) record(r Record) {
	if r.Under = s.serving.under; r.Under != nil {
		r.volume = r.Under.volume
	}
	s.w.record(r)
}

func (s *service) die(when string) {
	s.record(Record{Kind: Crashed, Who: s.name, Note: when})
	s.downUntil = s.w.now + s.w.rng.span(10*time.Millisecond, 10*time.Second)
}
