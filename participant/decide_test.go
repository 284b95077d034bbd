package participant

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
)

// TestDecide checks each line of the table of decide.
func TestDecide(t *testing.T) {
	completed := Answer{Outcome: contract.OutcomeCompleted, Data: []byte("1")}
	rejected := Answer{Outcome: contract.OutcomeRejected, Reason: "no"}
	tombstone := Answer{Outcome: Tombstone}
	undone := Answer{Outcome: contract.OutcomeCompleted}
	for _, c := range []struct {
		entry                    Entry
		do, undo, undoIfHappened verdict
	}{
		{Entry{}, invoke, acknowledge, invoke},
		{Entry{Do: completed}, replay, invoke, invoke},
		{Entry{Do: rejected}, replay, acknowledge, acknowledge},
		{Entry{Do: rejected, Undo: undone}, replay, replay, replay},
		{Entry{Do: tombstone, Undo: undone}, reject, replay, replay},
		{Entry{Do: completed, Undo: undone}, reject, replay, replay},
	} {
		name := fmt.Sprintf("do %q, undo %q", c.entry.Do.Outcome, c.entry.Undo.Outcome)
		for _, happened := range []bool{false, true} {
			if got, _ := decide(c.entry, contract.DirectionDo, happened); got != c.do {
				t.Errorf("%s: a do is answered by %v, expected %v", name, got, c.do)
			}
		}
		if got, _ := decide(c.entry, contract.DirectionUndo, false); got != c.undo {
			t.Errorf("%s: an undo is answered by %v, expected %v", name, got, c.undo)
		}
		if got, _ := decide(c.entry, contract.DirectionUndo, true); got != c.undoIfHappened {
			t.Errorf("%s: an undo of what happened is answered by %v, expected %v", name, got, c.undoIfHappened)
		}
	}
}

// world is the model of a participant: its inbox entry and the effects of its handlers.
type world struct {
	entry      Entry
	effects    int // effects of the do that are currently in place
	doCalls    int // calls of the do handler that took effect
	undoCalls  int // calls of the undo handler that took effect
	firstDo    *Answer
	firstUndo  *Answer
	undoneSeen bool
}

// deliver models one delivery, like invocation.decided. outcome is the outcome that the handler
// would return.
func (w *world) deliver(d contract.Direction, happened bool, outcome contract.Outcome, n int) (verdict, Answer) {
	v, answer := decide(w.entry, d, happened)
	switch {
	case v == replay || v == reject:
		return v, answer
	case v == acknowledge:
		w.entry = record(w.entry, d, answer)
		return v, answer
	case outcome == contract.OutcomeFailed, d == contract.DirectionUndo && outcome == contract.OutcomeRejected:
		return v, Answer{Outcome: outcome} // nothing took effect and nothing is recorded
	}
	answer = Answer{Outcome: outcome, Data: fmt.Append(nil, n)}
	if outcome == contract.OutcomeCompleted && d == contract.DirectionDo {
		w.effects++
		w.doCalls++
	}
	if outcome == contract.OutcomeCompleted && d == contract.DirectionUndo {
		w.effects--
		w.undoCalls++
	}
	w.entry = record(w.entry, d, answer)
	return v, answer
}

// TestLaws checks I5 for arbitrary deliveries in arbitrary order.
func TestLaws(t *testing.T) {
	outcomes := []contract.Outcome{contract.OutcomeCompleted, contract.OutcomeRejected, contract.OutcomeFailed}
	rapid.Check(t, func(t *rapid.T) {
		var w world
		for n := range rapid.IntRange(1, 12).Draw(t, "deliveries") {
			d := rapid.SampledFrom([]contract.Direction{contract.DirectionDo, contract.DirectionUndo}).Draw(t, "direction")
			outcome := rapid.SampledFrom(outcomes).Draw(t, "outcome")
			_, answer := w.deliver(d, false, outcome, n)
			w.check(t, d, answer)
		}
	})
}

func (w *world) check(t *rapid.T, d contract.Direction, answer Answer) {
	if w.doCalls > 1 || w.undoCalls > 1 || w.effects < 0 || w.effects > 1 {
		t.Fatalf("the effect was made %d times and undone %d times", w.doCalls, w.undoCalls)
	}
	if answer.Outcome == Tombstone {
		t.Fatal("a tombstone was sent")
	}
	answered := answer.Outcome != contract.OutcomeFailed && (d == contract.DirectionDo || answer.Outcome == contract.OutcomeCompleted)
	switch {
	case d == contract.DirectionDo && w.undoneSeen:
		if answer.Outcome != contract.OutcomeRejected {
			t.Fatalf("a do after its undo was answered %s", answer.Outcome)
		}
	case answered && d == contract.DirectionDo:
		w.firstDo = same(t, w.firstDo, answer)
	case answered:
		w.firstUndo = same(t, w.firstUndo, answer)
		w.undoneSeen = true
	}
	if w.undoneSeen && w.effects != 0 {
		t.Fatal("the undo was answered as completed, and the effect is in place")
	}
	if answer.Outcome == contract.OutcomeCompleted && d == contract.DirectionDo && w.effects != 1 {
		t.Fatal("the do was answered as completed, and its effect is not in place")
	}
	if w.firstDo != nil && w.firstDo.Outcome == contract.OutcomeRejected && w.undoCalls > 0 {
		t.Fatal("the undo handler was called for a rejected do")
	}
}

// same returns the first answer, and fails the test if a later one differs.
func same(t *rapid.T, first *Answer, answer Answer) *Answer {
	if first == nil {
		return &answer
	}
	if !first.equal(answer) {
		t.Fatalf("answered %+v at first and %+v later", *first, answer)
	}
	return first
}

// TestLawsWhenItHappened: the undo of a confirmed do calls its handler until it succeeds. It does
// not if the do was rejected or the undo is recorded. If no do is recorded, it leaves a tombstone.
func TestLawsWhenItHappened(t *testing.T) {
	var w world
	if v, _ := w.deliver(contract.DirectionUndo, true, contract.OutcomeFailed, 1); v != invoke {
		t.Fatalf("first undo: %v", v)
	}
	if v, _ := w.deliver(contract.DirectionUndo, true, contract.OutcomeCompleted, 2); v != invoke {
		t.Fatalf("second undo, after a failure: %v", v)
	}
	if v, _ := w.deliver(contract.DirectionUndo, true, contract.OutcomeCompleted, 3); v != replay {
		t.Fatalf("third undo, after a success: %v", v)
	}
	if v, _ := w.deliver(contract.DirectionDo, false, contract.OutcomeCompleted, 4); v != reject {
		t.Fatalf("late do: %v", v)
	}
}
