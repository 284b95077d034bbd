package coordinator

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
)

// TestMovingKnowsNoSagaAtRest: after any sightings, what is known was seen to move
// last; and of as many as there is room for, every one is known.
func TestMovingKnowsNoSagaAtRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, moves := newActiveSagas(), map[contract.SagaID]bool{}
		for range rapid.IntRange(0, 200).Draw(t, "sightings") {
			id := contract.SagaID(fmt.Sprint("s", rapid.IntRange(0, 9).Draw(t, "saga")))
			in := rapid.SampledFrom([]*machine.Instance{
				nil, {Phase: contract.Running, Revision: 1, Definition: contract.DefinitionRef{Name: "a", Version: 1}}, {Phase: contract.Compensating, Revision: 2, Definition: contract.DefinitionRef{Name: "b", Version: 2}}, {Phase: contract.Parked},
				{Phase: contract.Completed, Ended: time.Unix(1, 0)}, {Phase: contract.Compensated, Ended: time.Unix(1, 0)},
			}).Draw(t, "instance")
			m.observe(id, in)
			moves[id] = in != nil && (in.Phase == contract.Running || in.Phase == contract.Compensating)
			if s := m.brief(id); (s != nil) != moves[id] || s != nil && (s.ID != id || s.Phase != in.Phase || s.Revision != in.Revision || s.Definition != in.Definition) {
				t.Fatalf("of %s, which is %+v, it says %+v", id, in, s)
			}
			for id, want := range moves {
				if m.knows(id) != want {
					t.Fatalf("knows %s: %t, want %t", id, m.knows(id), want)
				}
			}
		}
	})
}

// TestMovingIsBounded: the oldest are forgotten, whatever came to rest in between.
func TestMovingIsBounded(t *testing.T) {
	m, running := newActiveSagas(), &machine.Instance{Phase: contract.Running}
	id := func(i int) contract.SagaID { return contract.SagaID(fmt.Sprint("s", i)) }
	for i := range 3 * maxActive {
		m.observe(id(i), running)
		if i%3 == 0 {
			m.observe(id(i), nil)
		}
	}
	if len(m.ring) != maxActive || len(m.at) > maxActive || len(m.at) < maxActive/2 {
		t.Errorf("%d are known, in a ring of %d", len(m.at), len(m.ring))
	}
	for i := 3*maxActive - 100; i < 3*maxActive; i++ {
		if m.knows(id(i)) != (i%3 != 0) {
			t.Errorf("knows %s: %t", id(i), m.knows(id(i)))
		}
	}
	if m.knows(id(1)) {
		t.Error("the oldest is still known")
	}
}

// TestMovingAgain: a saga that came to rest and moved again is known although its
// first place is taken by another.
func TestMovingAgain(t *testing.T) {
	m, running := newActiveSagas(), &machine.Instance{Phase: contract.Running}
	m.observe("again", running)
	m.observe("again", nil)
	for i := range maxActive - 2 {
		m.observe(contract.SagaID(fmt.Sprint("s", i)), running)
	}
	m.observe("again", running)
	m.observe("another", running)
	if !m.knows("again") || !m.knows("another") || len(m.ring) != maxActive {
		t.Errorf("knows again: %t, another: %t, in a ring of %d", m.knows("again"), m.knows("another"), len(m.ring))
	}
}
