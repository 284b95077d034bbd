package coordinator_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/participant"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/memstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// endAndForget ends a checkout saga and lets retention remove it.
func endAndForget(t *testing.T, e *coordinator.Engine, s store.Store, id contract.SagaID) {
	t.Helper()
	step(t, e, completed(id, "stock", "reserve"), completed(id, "bank", "charge"), completed(id, "post", "ship"))
	if _, err := s.Load(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	later := noon.Add(time.Hour)
	for _, drop := range []bool{false, true} {
		ended, dropped := later, time.Time{}
		if drop {
			ended, dropped = time.Time{}, later
		}
		if removed, gone, err := s.Expire(t.Context(), ended, dropped, 0); err != nil || removed+gone != 1 {
			t.Fatalf("%d removed, %d dropped, %v", removed, gone, err)
		}
	}
}

// Commands of a saga, and answers to them, are never attributed to a later saga with the same id
// (I5, I9).
func TestLaterSagaWithTheSameID(t *testing.T) {
	s := memstore.New()
	e := newEngine(t, s)
	first := step(t, e, start("a"))
	again := start("a")
	again.Event.At = noon.Add(2 * time.Hour)
	endAndForget(t, e, s, "a")
	second := step(t, e, again)

	old, now := first.Enqueued[0], second.Enqueued[0]
	if old.ID == now.ID || old.Envelope.ID == now.Envelope.ID || old.Envelope.DedupID == now.Envelope.DedupID ||
		old.Envelope.ReplyTo == now.Envelope.ReplyTo || old.Envelope.Key() == now.Envelope.Key() {
		t.Errorf("the command of the later saga is taken for that of the earlier one:\n%+v\n%+v", old, now)
	}
	if a, b := first.Enqueued[1], second.Enqueued[1]; a.ID == b.ID || a.Envelope.ID == b.Envelope.ID || a.Envelope.DedupID == b.Envelope.DedupID {
		t.Errorf("the announcement of the later saga is taken for that of the earlier one:\n%+v\n%+v", a, b)
	}
	late := []coordinator.Input{coordinator.ReadRefusal(&old, false, errors.New("too large"), noon.Add(3*time.Hour))}
	for _, kind := range []string{transport.TypeCompleted, transport.TypeRejected, transport.TypeFailed} {
		answer := &transport.Envelope{Subject: old.Envelope.ReplyTo, Type: kind, Final: true}
		input, class, err := coordinator.ReadAnswer(transport.Subjects{}, answer, noon.Add(3*time.Hour))
		if err != nil {
			t.Fatal(class, err)
		}
		late = append(late, input)
	}
	for _, engine := range []*coordinator.Engine{e, newEngine(t, s)} { // with the saga in the cache, and without
		for _, input := range late {
			r := step(t, engine, input).Results[0]
			if !errors.Is(r.Err, store.ErrNotFound) || !strings.Contains(r.Err.Error(), "was started at 2026-01-01T14:00:00Z") {
				t.Errorf("%s of the earlier saga: %+v", input.Event.Outcome, r)
			}
		}
	}
	if in, err := s.Load(t.Context(), "a"); err != nil || in.Revision != 1 {
		t.Errorf("the later saga was moved: %+v, %v", in, err)
	}
	if err := s.Discard(t.Context(), []outbox.ID{old.ID, first.Enqueued[1].ID}); err != nil {
		t.Fatal(err)
	}
	if got := pending(t, s); len(got) != 1 || got[0] != now.Envelope.ID {
		t.Errorf("pending are %v", got)
	}
	input, _, err := coordinator.ReadAnswer(transport.Subjects{}, &transport.Envelope{Subject: now.Envelope.ReplyTo, Type: transport.TypeCompleted}, noon.Add(3*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if r := step(t, e, input).Results[0]; r.Err != nil || r.Instance.Revision != 2 {
		t.Errorf("the answer to the later saga: %+v", r)
	}
}

// A late answer arrives when only a tombstone is left, of its own saga or of a later one.
func TestLateAnswerAndTombstone(t *testing.T) {
	s := memstore.New()
	e := newEngine(t, s)
	first := step(t, e, start("a"))
	step(t, e, completed("a", "stock", "reserve"), completed("a", "bank", "charge"), completed("a", "post", "ship"))
	if _, _, err := s.Expire(t.Context(), noon.Add(time.Hour), time.Time{}, 0); err != nil {
		t.Fatal(err)
	}
	input := completed("a", "stock", "reserve")
	input.Birth = first.Enqueued[0].ID.Birth
	if r := step(t, e, input).Results[0]; r.Ignored != machine.IgnoredEnded {
		t.Errorf("of the saga that ended: %+v", r)
	}
	input.Birth--
	if r := step(t, e, input).Results[0]; !errors.Is(r.Err, store.ErrNotFound) {
		t.Errorf("of an earlier one: %+v", r)
	}
}

// One of two coordinators still caches a saga that ended on the other one, and was then removed by
// retention. The revision of the cached saga would fit the later saga (I7).
func TestCachedSagaIsNotTheLaterOne(t *testing.T) {
	s := memstore.New()
	stale, other := newEngine(t, s), newEngine(t, s)
	step(t, stale, start("a"))
	endAndForget(t, other, s, "a")
	again := start("a")
	again.Event.At = noon.Add(2 * time.Hour)
	step(t, other, again)
	timeout := coordinator.Input{Saga: "a", Event: machine.Event{Type: contract.EventTimerFired, At: noon.Add(10 * time.Second)}}
	if r := step(t, stale, timeout).Results[0]; r.Ignored != machine.IgnoredNothing {
		t.Errorf("a timer of the earlier saga: %+v", r)
	}
	if in, err := s.Load(t.Context(), "a"); err != nil || in.Revision != 1 || !in.Started.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("the later saga was overwritten: %+v, %v", in, err)
	}
}

// An id reused after its tombstone has expired is a new saga for participants too. No participant
// answers with the result that it stored for the earlier saga (I5).
func TestIDAgainAfterItsTombstone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.restart(coordinator.Config{Retention: time.Minute, TombstoneRetention: 2 * time.Minute})
		forget := func() { time.Sleep(4 * time.Minute) } // virtual
		effects := []string{"s1 reserve", "s1 charge", "s1 ship"}
		w.expect(w.run("s1"), contract.PhaseCompleted, effects...)
		forget()
		effects = append(effects, effects...)
		w.expect(w.run("s1"), contract.PhaseCompleted, effects...)
		forget()
		w.when(func(action string, _ int) error {
			if action == "ship" {
				return participant.Reject("no courier")
			}
			return nil
		})
		effects = append(effects, "s1 reserve", "s1 charge", "s1 refund", "s1 release")
		w.expect(w.run("s1"), contract.PhaseCompensated, effects...)
		forget()
		w.when(func(string, int) error { return nil })
		effects = append(effects, "s1 reserve", "s1 charge", "s1 ship")
		w.expect(w.run("s1"), contract.PhaseCompleted, effects...)
	})
}
