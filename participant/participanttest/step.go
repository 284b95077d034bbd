package participanttest

import (
	"bytes"
	"cmp"
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Step describes the step under test: its commands, its requests, and how to count its effects.
type Step[Req, Res any] struct {
	// Answer is the participant's method Answer.
	Answer func(ctx context.Context, command *transport.Envelope) (*transport.Envelope, error)
	// Do is the command under test.
	Do contract.Command[Req, Res]
	// Undo compensates Do. The zero value skips the tests that need an undo.
	Undo contract.UndoCommand[Req, Res]
	// Request returns a new request that will be completed. Each request is different, so that its
	// effects can be distinguished from the effects of other requests.
	Request func() Req
	// Rejected returns a request that will be rejected. Nil skips tests of rejections.
	Rejected func() Req
	// RejectedUndo returns a request that will be completed. Its undo is rejected until allow is
	// called. Nil skips tests of rejected undos.
	RejectedUndo func() (request Req, allow func())
	// Effects returns how often the effect of a request is currently in place: 0 before the do and
	// after the undo, 1 in between. It should count what a duplicate effect would change in the
	// service's own database, such as rows or stock.
	Effects func(t testing.TB, request Req) int
	// Prefix is the participant's Prefix; "" means the default.
	Prefix string
	// Concurrency is the number of concurrent deliveries; 0 means 8.
	Concurrency int
	// Timeout limits each test; 0 means 30 s.
	Timeout time.Duration
}

// saga is a saga with the step under test.
type saga[Req, Res any] struct {
	t       testing.TB
	ctx     context.Context
	step    Step[Req, Res]
	id      contract.SagaID
	birth   contract.Birth
	request Req
	attempt int
}

func (s Step[Req, Res]) begin(t testing.TB, request Req) *saga[Req, Res] {
	if s.Timeout < 0 || s.Concurrency < 0 {
		t.Fatalf("Timeout is %s and Concurrency is %d; give positive values, or 0 for the default", s.Timeout, s.Concurrency)
	}
	ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(s.Timeout, 30*time.Second))
	t.Cleanup(cancel)
	return &saga[Req, Res]{t: t, ctx: ctx, step: s, id: contract.SagaID("test-" + uuid.NewString()), birth: contract.BirthOf(time.Now()), request: request}
}

// command returns the next attempt of a direction. answer is the do's answer, or nil if the
// coordinator does not know it.
func (s *saga[Req, Res]) command(direction contract.Direction, answer *transport.Envelope) *transport.Envelope {
	s.t.Helper()
	s.attempt++
	key := contract.Key{Saga: s.id, Birth: s.birth, Step: "step-under-test", Direction: direction}
	e := command(s.step.Prefix, s.step.Do.Participant(), s.step.Do.Action(), key, s.attempt)
	var err error
	if e.Data, e.ContentType, err = encode(s.request); err == nil && direction == contract.DirectionUndo {
		e.Data, err = undoData(e, answer)
		e.Subject, e.ContentType = transport.Subjects{Prefix: s.step.Prefix}.Command(s.step.Undo.Participant(), s.step.Undo.Action()), ""
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// send delivers a command and returns the answer.
func (s *saga[Req, Res]) send(command *transport.Envelope) *transport.Envelope {
	s.t.Helper()
	answer, err := s.step.Answer(s.ctx, command)
	if err != nil {
		s.t.Fatalf("%s on %s was not answered: %v", command.ID, command.Subject, err)
	}
	if answer.Subject != command.ReplyTo {
		s.t.Fatalf("%s was answered on %q instead of %q", command.ID, answer.Subject, command.ReplyTo)
	}
	return answer
}

// do sends the next attempt of the do.
func (s *saga[Req, Res]) do() *transport.Envelope {
	s.t.Helper()
	return s.send(s.command(contract.DirectionDo, nil))
}

func (s *saga[Req, Res]) undo(answer *transport.Envelope) *transport.Envelope {
	s.t.Helper()
	return s.send(s.command(contract.DirectionUndo, answer))
}

// want fails the test unless the answer has the given type.
func (s *saga[Req, Res]) want(answer *transport.Envelope, answerType, when string) {
	s.t.Helper()
	if answer.Type != answerType {
		s.t.Fatalf("%s: answered %s %q, expected %s", when, answer.Type, answer.Reason, answerType)
	}
}

// wantSame fails the test unless both answers are equal byte by byte.
func (s *saga[Req, Res]) wantSame(first, second *transport.Envelope, when string) {
	s.t.Helper()
	if first.Type != second.Type || first.Reason != second.Reason || !bytes.Equal(first.Data, second.Data) {
		s.t.Fatalf("%s: answered\n%s %q %s\nand then\n%s %q %s\nThe second should be what the inbox recorded of the first: is Update called on the same database, with the same participant name?",
			when, first.Type, first.Reason, first.Data, second.Type, second.Reason, second.Data)
	}
}

// wantEffects fails the test unless the effect is in place the given number of times.
func (s *saga[Req, Res]) wantEffects(want int, when string) {
	s.t.Helper()
	if got := s.step.Effects(s.t, s.request); got != want {
		s.t.Fatalf("%s: the effect is in place %d times, expected %d. Does the handler write through the transaction it is given, and through nothing else?", when, got, want)
	}
}
