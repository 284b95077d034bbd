package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/transport"
)

// answerWait is how long a coordinator may take to commit an answer before the bus redelivers it.
// It is therefore also the delay until the answers of a crashed coordinator are redelivered.
const answerWait = 10 * time.Second

// subscribe opens the subscription to the participants' answers. The bus retries until the server
// is reachable.
func (c *Coordinator) subscribe(ctx context.Context) (transport.Source, error) {
	var claim func(context.Context) error
	if c.config.Owner != nil {
		claim = c.config.Owner.Check
	}
	source, err := c.config.Bus.Subscribe(ctx, transport.Subscription{
		Stream: transport.StreamEvents, Name: c.consumer(), Claim: claim, MaxInFlight: c.config.MaxBatch * 8, AckWait: answerWait, Bundle: c.config.MaxBatch,
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to the participants' answers: %w", err)
	}
	return source, nil
}

// receive takes answers from the bus until ctx ends.
func (c *Coordinator) receive(ctx context.Context, source transport.Source) error {
	for {
		if c.awaitConfirmed(ctx) != nil {
			return nil
		}
		deliveries, err := source.Receive(ctx, c.config.MaxBatch)
		if len(deliveries) > 0 {
			c.received.Store(c.config.Clock().UnixNano())
		}
		for _, d := range deliveries {
			c.arrive(ctx, d)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil, errors.Is(err, transport.ErrClosed):
			return nil
		default:
			return fmt.Errorf("receive answers: %w", err)
		}
	}
}

// arrive turns a delivery into an input for its shard, or into a dead letter.
func (c *Coordinator) arrive(ctx context.Context, d transport.Delivery) {
	e := d.Envelope()
	c.cleanTrace(e)
	input, class, err := ReadAnswer(c.config.Subjects, e, time.Time{})
	if err != nil {
		c.deadLetter(ctx, d, class, err.Error())
		return
	}
	w := work{delivery: d, input: c.stamped(input)}
	c.handingTo.Store(int64(c.shardIndex(input.Saga)))
	c.handing.Store(w.input.Event.At.UnixNano())
	err = c.put(ctx, w)
	c.received.Store(c.config.Clock().UnixNano())
	c.handing.Store(0)
	if err != nil {
		return // stopping: the delivery is not acknowledged, and will be redelivered
	}
}

// ReadAnswer decodes an envelope from the events stream that was received at the given time. It
// takes participant, key and attempt from the subject alone, because only the subject is enforced
// by the bus's permissions. An answer with an unusable content type counts as a final failure. If
// the envelope is not an answer, ReadAnswer returns an error with the reason, and the class for its
// dead letter.
func ReadAnswer(subjects transport.Subjects, e *transport.Envelope, at time.Time) (input Input, class string, err error) {
	participant, key, attempt, err := subjects.ParseEvent(e.Subject)
	if err != nil {
		return input, DeadLetterSubject, err
	}
	outcome, ok := outcomes[e.Type]
	if !ok {
		return input, DeadLetterType, fmt.Errorf("type %q is not an answer; use %s, %s or %s",
			e.Type, transport.TypeCompleted, transport.TypeRejected, transport.TypeFailed)
	}
	event := machine.Event{
		Type: contract.EventStepAnswered, At: at, Participant: participant,
		Step: key.Step, Direction: key.Direction, Attempt: attempt, Outcome: outcome,
		Payload: e.Data, ContentType: e.ContentType, Reason: reasonOf(e), Final: e.Final,
	}
	if err := transport.CheckContentType(e.ContentType); err != nil {
		unusable(&event, "the result cannot be used: "+err.Error())
	}
	if len(e.Data) > contract.MaxPayload {
		unusable(&event, fmt.Sprintf("the result is %d bytes long; at most %d are allowed (MaxPayload): store large results elsewhere and answer with a reference", len(e.Data), contract.MaxPayload))
	}
	return Input{Saga: key.Saga, Birth: key.Birth, Event: event}, "", nil
}

// unusable drops data that cannot be stored. The completion of a do becomes a final failure,
// because another attempt would get the same answer. Other answers do not need their data.
func unusable(ev *machine.Event, why string) {
	if ev.Outcome == contract.OutcomeCompleted && ev.Direction == contract.DirectionDo {
		ev.Outcome, ev.Final, ev.Reason = contract.OutcomeFailed, true, contract.ClassBadResult+": "+why
	}
	ev.Payload, ev.ContentType = nil, ""
}

var outcomes = map[string]contract.Outcome{
	transport.TypeCompleted: contract.OutcomeCompleted,
	transport.TypeRejected:  contract.OutcomeRejected,
	transport.TypeFailed:    contract.OutcomeFailed,
}

// reasonOf returns the reason of a rejection or failure: the attribute or, if it is missing, the
// data. Answers published by hand often have only data.
func reasonOf(e *transport.Envelope) string {
	reason := e.Reason
	if reason == "" && e.Type != transport.TypeCompleted {
		reason = string(e.Data)
	}
	return contract.Cut(reason, transport.MaxReason)
}

// deadLetter makes the bus keep a delivery as a dead letter. If the bus cannot, because it is
// closing, the delivery is redelivered.
func (c *Coordinator) deadLetter(ctx context.Context, d transport.Delivery, class, reason string) {
	c.limited.WarnContext(ctx, "dead letter", "subject", d.Envelope().Subject, "class", class, LogReason, reason)
	if err := d.DeadLetter(ctx, reason); err != nil {
		d.Nak(time.Second)
		return
	}
	c.observer.DeadLetter(class)
}

// stamped returns an input with the current time.
func (c *Coordinator) stamped(in Input) Input {
	in.Event.At, in.ClockOffset = c.timing.clock.stamp()
	return in
}

// cleanTrace drops an invalid trace context from a message, and counts it.
func (c *Coordinator) cleanTrace(e *transport.Envelope) {
	if e.CleanTrace() {
		c.observer.TraceDropped()
	}
}

// root returns the trace context that a start gives to its saga.
func (c *Coordinator) root(id contract.SagaID, caller string) string {
	if c.config.Tracer == nil {
		return caller
	}
	return c.config.Tracer.Root(id, caller)
}

// ReadRefusal returns the input for a command that the bus will never accept, in the form of an
// answer from the participant. sent means that the command may have arrived nevertheless.
func ReadRefusal(r *outbox.Record, sent bool, err error, at time.Time) Input {
	e := &r.Envelope
	return Input{Saga: r.ID.Saga, Birth: r.ID.Birth, Command: r.ID.Revision, Event: machine.Event{
		Type: contract.EventStepAnswered, At: at, Participant: string(r.To), Step: e.Step, Direction: e.Direction, Attempt: e.Attempt,
		Outcome: contract.OutcomeNotSent, Reason: contract.Cut(err.Error(), contract.MaxReason), Final: sent,
	}}
}

// maxRefusals bounds the refusals that wait for their shards. A refusal that does not fit is
// dropped; the attempt then times out, and the next attempt is refused again.
const maxRefusals = 4096

// refused handles a command that the bus will never accept. It does not block, because the relay
// has other messages to send.
func (c *Coordinator) refused(r outbox.Record, sent bool, err error) {
	c.limited.Error("the bus refused a command for good; its step has failed",
		LogSaga, string(r.ID.Saga), LogStep, string(r.Envelope.Step), LogDirection, string(r.Envelope.Direction),
		LogAttempt, r.Envelope.Attempt, LogError, err.Error())
	select {
	case c.refusals <- c.stamped(ReadRefusal(&r, sent, err, time.Time{})):
	default:
	}
}

// takeRefusals passes refusals to their shards. At shutdown the remaining commands are still
// pending; they are sent and refused again after the next start.
func (c *Coordinator) takeRefusals(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case input := <-c.refusals:
			if c.put(ctx, work{input: input}) != nil {
				return nil
			}
		}
	}
}
