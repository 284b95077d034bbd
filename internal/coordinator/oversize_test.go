package coordinator_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/membus"
)

// TestOversizeAnswers checks that an answer with too much data still counts. A result becomes a
// final failure; other answers only lose their data (I9, I10).
func TestOversizeAnswers(t *testing.T) {
	for _, c := range []struct {
		direction, kind string
		want            contract.Outcome
		final           bool
		reason          string
	}{
		{"do", transport.TypeCompleted, contract.OutcomeFailed, true, "at most 262144 are allowed (MaxPayload)"},
		{"undo", transport.TypeCompleted, contract.OutcomeCompleted, false, ""},
		{"do", transport.TypeRejected, contract.OutcomeRejected, false, "xxx"},
		{"do", transport.TypeFailed, contract.OutcomeFailed, false, "xxx"},
		{"undo", transport.TypeFailed, contract.OutcomeFailed, false, "xxx"},
	} {
		name := c.kind + " of a " + c.direction
		data := []byte(strings.Repeat("x", contract.MaxPayload+1))
		e := &transport.Envelope{Subject: "saga.event.bank.s1.7.charge." + c.direction + ".1", Type: c.kind, ContentType: "text/plain", Data: data}
		input, class, err := coordinator.ReadAnswer(transport.Subjects{}, e, time.Unix(1, 0))
		if err != nil {
			t.Errorf("%s: class %s, %v", name, class, err)
			continue
		}
		ev := input.Event
		if ev.Outcome != c.want || ev.Final != c.final || len(ev.Payload) > 0 || ev.ContentType != "" || !strings.Contains(ev.Reason, c.reason) {
			t.Errorf("%s is read as %s, final %t, %d bytes of %q, %.99q", name, ev.Outcome, ev.Final, len(ev.Payload), ev.ContentType, ev.Reason)
		}
		e.Data = data[:contract.MaxPayload]
		if input, _, err = coordinator.ReadAnswer(transport.Subjects{}, e, time.Unix(1, 0)); err != nil || len(input.Event.Payload) != contract.MaxPayload {
			t.Errorf("%s of %d bytes: %v, %d bytes", name, contract.MaxPayload, err, len(input.Event.Payload))
		}
	}
}

// TestOversizeResultEndsTheStep checks that the saga compensates with the reason, without waiting
// for the timeout.
func TestOversizeResultEndsTheStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, membus.Options{})
		defer w.close()
		w.stopServices() // the test answers in their place
		c := client.New(w.bus)
		if _, err := c.Start(t.Context(), checkout, order{"tea"}, client.ID("s1")); err != nil {
			t.Fatal(err)
		}
		for _, answer := range []transport.Envelope{
			{Subject: "saga.event.stock.s1.9bkkzr8qo0.reserve.do.1", Type: transport.TypeCompleted, Data: []byte(`{"shelf":"A7"}`)},
			{Subject: "saga.event.bank.s1.9bkkzr8qo0.charge.do.1", Type: transport.TypeCompleted, Data: make([]byte, contract.MaxPayload+1)},
		} {
			if errs := w.bus.Publish(t.Context(), []transport.Envelope{answer}); errs != nil {
				t.Fatal(errs)
			}
			synctest.Wait() // no time passes
		}
		s, err := c.Get(t.Context(), "s1")
		if err != nil {
			t.Fatal(err)
		}
		if s.Phase != contract.PhaseCompensating || !strings.Contains(s.Reason, "the result is 262145 bytes long; at most 262144 are allowed (MaxPayload)") {
			t.Errorf("%s: %s", s.Phase, s.Reason)
		}
		if letters := w.deadLetters(); len(letters) > 0 {
			t.Errorf("dead letters: %q", letters)
		}
	})
}
