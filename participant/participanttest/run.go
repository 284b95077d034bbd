package participanttest

import (
	"sync"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// Run calls the handlers of one step in every order that a bus may produce. The name of each
// subtest describes the order. Each subtest has its own saga and request.
func Run[Req, Res any](t *testing.T, s Step[Req, Res]) {
	t.Helper()
	if s.Answer == nil || s.Request == nil || s.Effects == nil {
		t.Fatal("participanttest: a Step needs Answer, Request and Effects")
	}
	t.Run("twice", s.twice)
	t.Run("concurrently", s.concurrently)
	t.Run("answer lost after commit", s.answerLost)
	t.Run("the same id again", s.sameID)
	if s.Rejected != nil {
		t.Run("rejected twice", s.rejectedTwice)
	}
	if s.Undo.Action() == "" {
		return
	}
	t.Run("undone twice", s.undoneTwice)
	t.Run("undone concurrently", s.undoneConcurrently)
	t.Run("undo before do", s.undoFirst)
	t.Run("undo without result", s.undoUnknown)
	t.Run("do and undo at once", s.doAndUndo)
	t.Run("the same id again after an undo", s.sameIDAfterUndo)
	if s.Rejected != nil {
		t.Run("undo of a rejected do", s.undoRejected)
	}
	if s.RejectedUndo != nil {
		t.Run("rejected undo", s.rejectedUndo)
	}
}

func (s Step[Req, Res]) twice(t *testing.T) {
	g := s.begin(t, s.Request())
	g.wantEffects(0, "before the do")
	command := g.command(contract.DirectionDo, nil)
	first := g.send(command)
	g.want(first, transport.TypeCompleted, "do")
	g.wantEffects(1, "after the do")
	g.wantSame(first, g.send(command), "the same message again")
	g.wantSame(first, g.do(), "the next attempt")
	g.wantEffects(1, "after three deliveries")
}

func (s Step[Req, Res]) concurrently(t *testing.T) {
	g := s.begin(t, s.Request())
	answers := g.atOnce(func(int) *transport.Envelope { return g.command(contract.DirectionDo, nil) })
	answered := g.do()
	g.want(answered, transport.TypeCompleted, "after concurrent deliveries")
	for _, answer := range answers {
		if answer.Type != transport.TypeFailed { // a failure may be retried; the database may have been too busy
			g.wantSame(answered, answer, "concurrent deliveries")
		}
	}
	g.wantEffects(1, "after concurrent deliveries")
}

// answerLost simulates a crash between the commit and the answer. The answer is lost, and the
// command is redelivered.
func (s Step[Req, Res]) answerLost(t *testing.T) {
	g := s.begin(t, s.Request())
	lost := g.do()
	g.want(lost, transport.TypeCompleted, "do")
	g.wantSame(lost, g.do(), "after the answer was lost")
	g.wantEffects(1, "after the answer was lost")
}

// later returns a saga with the id of an earlier saga that was removed.
func (s Step[Req, Res]) later(t testing.TB, than *saga[Req, Res]) *saga[Req, Res] {
	g := s.begin(t, s.Request())
	g.id, g.birth = than.id, than.birth+1
	return g
}

// sameID: an id may be reused after its saga was removed. The later saga must not get the answers
// of the earlier saga.
func (s Step[Req, Res]) sameID(t *testing.T) {
	g := s.begin(t, s.Request())
	first := g.do()
	g.want(first, transport.TypeCompleted, "do")
	again := s.later(t, g)
	again.want(again.do(), transport.TypeCompleted, "do of a later saga with the same id")
	again.wantEffects(1, "after the do of a later saga with the same id: is its birth part of the inbox's key?")
	g.wantSame(first, g.do(), "the earlier saga's do again")
	g.wantEffects(1, "after a later saga with the same id")
	again.wantEffects(1, "after the earlier saga's do again")
}

func (s Step[Req, Res]) sameIDAfterUndo(t *testing.T) {
	tombstone := s.begin(t, s.Request())
	tombstone.want(tombstone.undo(nil), transport.TypeCompleted, "an undo that came before its do")
	g := s.later(t, tombstone)
	g.want(g.do(), transport.TypeCompleted, "do of a later saga with the id of a tombstone: is its birth part of the inbox's key?")
	g.want(g.undo(nil), transport.TypeCompleted, "undo")
	again := s.later(t, g)
	again.want(again.do(), transport.TypeCompleted, "do of a later saga with the id of one that was undone")
	g.want(g.undo(nil), transport.TypeCompleted, "the earlier saga's undo again")
	again.wantEffects(1, "after the undo of an earlier saga with the same id")
	tombstone.want(tombstone.do(), transport.TypeRejected, "the late do of the tombstone")
	tombstone.wantEffects(0, "after a late do")
}

func (s Step[Req, Res]) rejectedTwice(t *testing.T) {
	g := s.begin(t, s.Rejected())
	first := g.do()
	g.want(first, transport.TypeRejected, "do that has to be rejected")
	g.wantEffects(0, "after a rejection, whose writes are undone")
	g.wantSame(first, g.do(), "the next attempt of a rejected do")
	g.wantEffects(0, "after two rejections")
}

func (s Step[Req, Res]) undoneTwice(t *testing.T) {
	g := s.begin(t, s.Request())
	done := g.do()
	g.want(done, transport.TypeCompleted, "do")
	undone := g.undo(done)
	g.want(undone, transport.TypeCompleted, "undo")
	g.wantEffects(0, "after the undo")
	g.wantSame(undone, g.undo(done), "the undo again")
	g.wantEffects(0, "after two undos")
	g.want(g.do(), transport.TypeRejected, "a do after it was undone")
	g.wantEffects(0, "after a late do")
}

func (s Step[Req, Res]) undoneConcurrently(t *testing.T) {
	g := s.begin(t, s.Request())
	done := g.do()
	g.want(done, transport.TypeCompleted, "do")
	g.atOnce(func(int) *transport.Envelope { return g.command(contract.DirectionUndo, done) })
	g.want(g.undo(done), transport.TypeCompleted, "after concurrent undos")
	g.wantEffects(0, "after concurrent undos")
}

func (s Step[Req, Res]) undoFirst(t *testing.T) {
	g := s.begin(t, s.Request())
	g.want(g.undo(nil), transport.TypeCompleted, "an undo that came before its do")
	g.wantEffects(0, "after an undo of nothing")
	late := g.do()
	g.want(late, transport.TypeRejected, "a do that came after its undo")
	g.wantEffects(0, "after a late do")
	g.want(g.undo(nil), transport.TypeCompleted, "the undo again")
	g.wantEffects(0, "after a late do and its undo")
}

func (s Step[Req, Res]) undoUnknown(t *testing.T) {
	g := s.begin(t, s.Request())
	g.want(g.do(), transport.TypeCompleted, "do")
	g.want(g.undo(nil), transport.TypeCompleted, "undo, when the coordinator never learned the result")
	g.wantEffects(0, "after the undo")
}

// doAndUndo delivers both directions concurrently. Whatever the order, no effect may remain after
// the undo was answered.
func (s Step[Req, Res]) doAndUndo(t *testing.T) {
	g := s.begin(t, s.Request())
	g.atOnce(func(i int) *transport.Envelope {
		if i%2 == 0 {
			return g.command(contract.DirectionDo, nil)
		}
		return g.command(contract.DirectionUndo, nil)
	})
	g.want(g.undo(nil), transport.TypeCompleted, "undo, after a race with its do")
	g.wantEffects(0, "after a race of do and undo")
	g.want(g.do(), transport.TypeRejected, "a do after the race")
	g.wantEffects(0, "after a late do")
}

func (s Step[Req, Res]) undoRejected(t *testing.T) {
	g := s.begin(t, s.Rejected())
	first := g.do()
	g.want(first, transport.TypeRejected, "do that is to be rejected")
	g.want(g.undo(nil), transport.TypeCompleted, "undo of a rejected do")
	g.wantEffects(0, "after the undo of a rejected do")
	g.wantSame(first, g.do(), "a rejected do after its undo")
}

// rejectedUndo: the rejection of an undo is not recorded. After an operator has removed the cause,
// the undo can be retried.
func (s Step[Req, Res]) rejectedUndo(t *testing.T) {
	request, allow := s.RejectedUndo()
	g := s.begin(t, request)
	done := g.do()
	g.want(done, transport.TypeCompleted, "do whose undo is to be rejected")
	for range 2 {
		g.want(g.undo(done), transport.TypeRejected, "undo that is to be rejected")
		g.wantEffects(1, "after a rejected undo")
	}
	g.wantSame(done, g.do(), "the do after its undo was rejected")
	allow()
	g.want(g.undo(done), transport.TypeCompleted, "undo after its cause was removed: is its rejection recorded?")
	g.wantEffects(0, "after the undo that was rejected at first")
	g.want(g.do(), transport.TypeRejected, "a do after it was undone")
}

// atOnce delivers several commands concurrently and returns their answers.
func (g *saga[Req, Res]) atOnce(command func(i int) *transport.Envelope) []*transport.Envelope {
	g.t.Helper()
	n := g.step.Concurrency
	if n == 0 {
		n = 8
	}
	commands := make([]*transport.Envelope, n)
	for i := range commands {
		commands[i] = command(i)
	}
	answers := make([]*transport.Envelope, n)
	errs := make([]error, n)
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			answers[i], errs[i] = g.step.Answer(g.ctx, commands[i])
		})
	}
	close(start)
	all.Wait()
	for i, err := range errs {
		if err != nil {
			g.t.Fatalf("%s on %s was not answered: %v", commands[i].ID, commands[i].Subject, err)
		}
	}
	return answers
}
