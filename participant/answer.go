package participant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Answer serves one command. It reads the inbox, calls the handler if necessary, commits, and
// returns the answer, which is to be published on its Subject. Run calls Answer. Other carriers can
// call it too, such as a Watermill handler, an HTTP function, or a simulator.
//
// Publish the answer first, then acknowledge the command. If publishing or acknowledging fails, the
// command is redelivered and answered from the inbox. Failures of the handler and of the database
// are answers, too. Answer returns a *CommandError if the message cannot be answered, and the error
// of Check if the participant is invalid. If ctx ends before the command is answered, Answer
// returns the error of ctx, and the command should be redelivered.
//
// If no handler is registered for the command's action, the answer is a failure that is not final:
// the next attempt may reach a process with a handler. For a command from a replaced coordinator,
// Answer returns a *CommandError. Run hands such commands back to the bus for a while, and then
// dead-letters them.
//
// Answer is safe for concurrent use.
func (p *Participant[Tx]) Answer(ctx context.Context, command *transport.Envelope) (*transport.Envelope, error) {
	return p.answer(ctx, p.place, command, notHandedBack)
}

// answer implements Answer. decide returns the fate of a command that is not served here. answer
// may also return a *handedBack.
func (p *Participant[Tx]) answer(ctx context.Context, at place, command *transport.Envelope, decide func(*transport.Envelope, error) fate) (*transport.Envelope, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	c := *command
	inv := invocation[Tx]{p: p, command: &c, started: time.Now()}
	if err := inv.validate(at); err != nil {
		err = &CommandError{Reason: cleanReason(err.Error())}
		inv.report(Answer{Reason: err.Error()}, false)
		return nil, err
	}
	ctx = inv.begin(ctx)
	answer, err := inv.answer(ctx)
	if err != nil && ctx.Err() != nil {
		inv.end(inv.reportOf(Answer{Reason: ctx.Err().Error()}, false))
		return nil, ctx.Err()
	}
	final := false
	if err != nil { // rare; declaring the variables outside would allocate them on every call
		if u, strange := errors.AsType[*unknownAction](err); strange {
			f := decide(&c, err)
			if err = inv.strange(u, f); f.delay > 0 {
				return nil, err
			}
			final = f.final
		}
		if old, stale := errors.AsType[*replaced](err); stale {
			return nil, inv.stale(old, decide(&c, err))
		}
		answer = Answer{Outcome: contract.OutcomeFailed, Reason: cleanReason(err.Error())}
		if IsRejection(err) {
			answer.Outcome = contract.OutcomeRejected
		}
		final = final || answer.Outcome == contract.OutcomeFailed && IsFatal(err)
	}
	inv.report(answer, final)
	return inv.envelope(answer, final), nil
}

// invocation is the state of answering one command.
type invocation[Tx any] struct {
	p       *Participant[Tx]
	command *transport.Envelope
	action  string
	handler handler[Tx]
	started time.Time
	called  bool // whether the handler ran
	span    Span // nil without a tracer
}

// validate checks that the message is a command that can be answered. It finds the handler, or a
// stand-in if there is none.
func (v *invocation[Tx]) validate(at place) error {
	c := v.command
	if err := at.subjects.Admit(transport.StreamCommands, c); err != nil {
		return err
	}
	if err := c.Key().Check(); err != nil {
		return err
	}
	if stream, err := at.subjects.StreamOf(c.ReplyTo); err != nil || stream != transport.StreamEvents {
		return fmt.Errorf("the reply subject %q is not an event subject: do not change the attribute %s, which the coordinator sets", c.ReplyTo, transport.AttrReplyTo)
	}
	action, ok := strings.CutPrefix(c.Subject, at.address)
	if !ok {
		return fmt.Errorf("subject %q does not belong to participant %q: its commands have subjects %s<action>", c.Subject, v.p.name, at.address)
	}
	v.action = action
	if err := contract.CheckName("action", action); err != nil {
		return err
	}
	if c.Direction != contract.DirectionDo && c.Direction != contract.DirectionUndo {
		return fmt.Errorf("direction %q of action %q: must be %s or %s", c.Direction, action, contract.DirectionDo, contract.DirectionUndo)
	}
	v.handler, ok = v.p.handlers[action]
	switch {
	case !ok:
		v.handler = stranger[Tx](&unknownAction{name: v.p.name + "." + action, dir: c.Direction})
	case v.handler.direction != c.Direction:
		note := "; here its handler is for " + string(v.handler.direction)
		v.handler = stranger[Tx](&unknownAction{name: v.p.name + "." + action, dir: c.Direction, note: note})
	}
	return nil
}

// strange logs a command with an unknown action, and reports the command if it is handed back. It
// returns the error for the failed answer, or a *handedBack.
func (v *invocation[Tx]) strange(u *unknownAction, f fate) error {
	u.note += f.note
	if commands, say := v.p.unknown.due(u, v.started); say {
		v.log().Warn("unknown action", LogReason, cleanReason(u.Error()), LogCount, commands)
	}
	if f.delay == 0 {
		return u
	}
	return v.handBack(u, f)
}

// handBack tells the observer and the tracer that a command is handed back to the bus.
func (v *invocation[Tx]) handBack(why error, f fate) error {
	r := v.reportOf(Answer{Reason: cleanReason(why.Error())}, false)
	r.HandedBack = true
	v.end(r)
	v.p.options.onAnswer(r)
	return &handedBack{why, f.delay}
}

// stale logs and reports a command from a replaced coordinator. It returns a *handedBack or a
// *CommandError.
func (v *invocation[Tx]) stale(old *replaced, f fate) error {
	old.note = f.note
	if f.delay > 0 {
		v.log().Warn("received a command from a coordinator that was replaced", LogReason, old.Error())
		return v.handBack(old, f)
	}
	err := &CommandError{Reason: cleanReason(old.Error())}
	v.report(Answer{Reason: err.Reason}, false)
	return err
}

// answer determines the answer while the step's entry is locked. It returns an error for a failure,
// and for a rejection that is not recorded.
func (v *invocation[Tx]) answer(ctx context.Context) (answer Answer, err error) {
	c := v.command
	if err := v.p.admit(ctx, c.Owner); err != nil {
		return answer, err
	}
	in := input{request: body{c.ContentType, c.Data}}
	if c.Direction == contract.DirectionUndo {
		if in, err = parseUndo(c.Data); err != nil {
			return answer, Fatal(err)
		}
	}
	key := StepKey{Participant: v.p.name, Saga: c.Saga, Birth: c.Birth, Step: c.Step}
	ctx = WithCommand(ctx, c)
	err = v.p.inbox.Update(ctx, key, func(ctx context.Context, tx Tx, entry Entry) (next Entry, keep bool, err error) {
		answer, keep, err = v.decided(ctx, tx, entry, in)
		if err != nil || answer.sent(entry, c.Direction) {
			return entry, keep, err
		}
		next = record(entry, c.Direction, answer)
		next.Updated = v.started.UTC().Truncate(time.Millisecond)
		return next, keep, nil
	})
	return answer, err
}

// sent reports whether an answer needs no new record, because the answer is already recorded or
// rejects a do that was undone.
func (a Answer) sent(e Entry, d contract.Direction) bool {
	if d == contract.DirectionDo {
		return !e.Do.None()
	}
	return !e.Undo.None()
}

// decided executes the verdict on a command. It returns keep as false if the handler's writes must
// be rolled back.
func (v *invocation[Tx]) decided(ctx context.Context, tx Tx, entry Entry, in input) (answer Answer, keep bool, err error) {
	happened := v.handler.unrecorded || in.resultKnown()
	verdict, answer := decide(entry, v.command.Direction, happened)
	if u := v.handler.stranger; u != nil && len(answer.Data) > 0 {
		return Answer{}, false, u // only the real handler knows the content type of the recorded data
	}
	if verdict != invoke {
		answer.Data = bytes.Clone(answer.Data)
		return answer, true, nil
	}
	if entry.Do.Outcome == contract.OutcomeCompleted {
		in.result, in.recorded = body{data: entry.Do.Data}, true
	}
	if err := v.p.claims.check(v.command.Owner); err != nil { // replaced while waiting for the lock
		return Answer{}, false, err
	}
	v.called = v.handler.stranger == nil
	answer, err = v.call(ctx, tx, in)
	if IsRejection(err) && v.command.Direction == contract.DirectionDo {
		return Answer{Outcome: contract.OutcomeRejected, Reason: cleanReason(err.Error())}, false, nil
	}
	return answer, err == nil, err
}

// call runs the handler. It converts a panic to a failure.
func (v *invocation[Tx]) call(ctx context.Context, tx Tx, in input) (answer Answer, err error) {
	if limit := v.p.options.handlerTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	defer func() {
		if r := recover(); r != nil {
			answer, err = Answer{}, fmt.Errorf("the handler of %s panicked: %v", v.action, r)
			v.log().Error("the handler panicked", LogReason, r, LogStack, string(debug.Stack()))
		}
	}()
	return v.handler.serve(ctx, tx, in)
}

var types = map[contract.Outcome]string{
	contract.OutcomeCompleted: transport.TypeCompleted,
	contract.OutcomeRejected:  transport.TypeRejected,
	contract.OutcomeFailed:    transport.TypeFailed,
}

// envelope returns the message for an answer.
func (v *invocation[Tx]) envelope(a Answer, final bool) *transport.Envelope {
	c := v.command
	traceParent, traceState, _ := transport.TraceContext(v.traceContext())
	e := &transport.Envelope{
		Subject:     c.ReplyTo,
		DedupID:     uuid.NewString(),
		ID:          transport.AnswerID(c.Key(), c.Attempt, a.Outcome),
		Source:      v.p.source,
		Type:        types[a.Outcome],
		Time:        time.Now().UTC(),
		TraceParent: traceParent,
		TraceState:  traceState,
		Saga:        c.Saga,
		Birth:       c.Birth,
		Definition:  c.Definition,
		Step:        c.Step,
		Direction:   c.Direction,
		Attempt:     c.Attempt,
		Reason:      a.Reason,
		Final:       final,
		Data:        a.Data,
	}
	if len(a.Data) > 0 {
		e.ContentType = v.handler.contentType
	}
	return e
}

func (v *invocation[Tx]) reportOf(a Answer, final bool) Report {
	return Report{
		Participant: v.p.name, Action: v.action, Key: v.command.Key(), Attempt: v.command.Attempt,
		Outcome: a.Outcome, Reason: a.Reason, Final: final, Called: v.called, Took: time.Since(v.started),
	}
}

// report passes the answer to the observer, the tracer and the log.
func (v *invocation[Tx]) report(a Answer, final bool) {
	r := v.reportOf(a, final)
	v.end(r)
	level := slog.LevelDebug
	if (a.Outcome == contract.OutcomeFailed || a.Outcome == "") && v.handler.stranger == nil { // strange logs its own
		level = slog.LevelWarn
	}
	if v.p.options.logger.Enabled(context.Background(), level) {
		v.log().Log(context.Background(), level, "answered", LogOutcome, string(a.Outcome), LogReason, a.Reason,
			LogFinal, final, LogCalled, v.called, LogTook, r.Took)
	}
	v.p.options.onAnswer(r)
}

func (v *invocation[Tx]) log() *slog.Logger {
	return v.p.log(v.command).With(LogAction, v.action)
}
