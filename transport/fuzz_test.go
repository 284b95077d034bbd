package transport_test

import (
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// FuzzParseEvent: if ParseEvent accepts a subject, the subject contains a valid participant, saga,
// step and attempt. Event builds a subject from them that parses to the same values.
func FuzzParseEvent(f *testing.F) {
	f.Add("saga.event.inventory.order-1.hod85snpc0.reserve.do.1")
	f.Add("saga.event.a.b.1.c.undo.01")
	f.Add("saga.event.a.b.01.c.undo.1")
	f.Add("saga.event.a.*.1.c.do.+1")
	f.Add("saga.event.a.b.1.c.do.99999999999999999999")
	f.Fuzz(func(t *testing.T, subject string) {
		s := transport.Subjects{}
		participant, key, attempt, err := s.ParseEvent(subject)
		if err != nil {
			return
		}
		if contract.CheckName("participant", participant) != nil || key.Check() != nil || attempt < 1 {
			t.Errorf("%q is read as %q, %+v, %d", subject, participant, key, attempt)
		}
		p, k, a, err := s.ParseEvent(s.Event(participant, key, attempt))
		if err != nil || p != participant || k != key || a != attempt {
			t.Errorf("%q reads back as %q, %+v, %d, %v", subject, p, k, a, err)
		}
	})
}
