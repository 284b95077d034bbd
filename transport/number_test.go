package transport_test

import (
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// numbers holds a parser for each number in subjects and attributes.
var numbers = map[string]func(text string) bool{
	"attempt of a subject": func(text string) bool {
		_, _, attempt, err := transport.Subjects{}.ParseEvent("saga.event.payment.order-42.hod85snpc0.charge-card.do." + text)
		return err == nil && attempt == 7
	},
	"attempt of an answer": func(text string) bool {
		e := transport.Envelope{Subject: "saga.event.payment.order-42.hod85snpc0.charge-card.do." + text, Type: transport.TypeCompleted}
		return transport.Subjects{}.Admit(transport.StreamEvents, &e) == nil && e.Attempt == 7 && e.ID == "order-42/hod85snpc0/charge-card/do/7"
	},
	"messages of a bundle": func(text string) bool {
		_, n, ok := transport.Subjects{}.ParseBundle("saga.event.payment.bundle." + text)
		return ok && n == 7
	},
	"birth of a subject": func(text string) bool {
		_, key, _, err := transport.Subjects{}.ParseEvent("saga.event.payment.order-42." + text + ".charge-card.do.1")
		return err == nil && key.Birth == 7
	},
	transport.AttrBirth: func(text string) bool {
		var e transport.Envelope
		return e.SetAttribute(transport.AttrBirth, text) == nil && e.Birth == 7
	},
	transport.AttrAttempt: func(text string) bool {
		var e transport.Envelope
		return e.SetAttribute(transport.AttrAttempt, text) == nil && e.Attempt == 7
	},
	transport.AttrRetryAfter: func(text string) bool {
		var e transport.Envelope
		return e.SetAttribute(transport.AttrRetryAfter, text) == nil && e.RetryAfter.Milliseconds() == 7
	},
	transport.AttrOwner: func(text string) bool {
		var e transport.Envelope
		return e.SetAttribute(transport.AttrOwner, "s/"+text) == nil && e.Owner == transport.Owner{Store: "s", Claim: 7}
	},
	transport.AttrDefinition: func(text string) bool {
		var e transport.Envelope
		return e.SetAttribute(transport.AttrDefinition, "checkout/"+text) == nil && e.Definition == contract.DefinitionRef{Name: "checkout", Version: 7}
	},
}

// TestOneSpelling: every number on the wire has only one valid representation. A second one would
// give the same attempt a second subject, message id or key.
func TestOneSpelling(t *testing.T) {
	for where, reads := range numbers {
		if !reads("7") {
			t.Errorf("%s: 7 is not read", where)
		}
		for _, text := range []string{"07", "007", "+7", " 7", "7 ", "\t7", "7\n", "7_", "7.0", "7e0", "0x7", "0o7", "٧", "７", "7\u200b", "", "-7"} {
			if reads(text) {
				t.Errorf("%s: %q is read as 7", where, text)
			}
		}
		for _, text := range []string{"4294967303", "18446744073709551623"} { // 7, if truncated to 32 or 64 bits
			if reads(text) {
				t.Errorf("%s: %s is read as 7", where, text)
			}
		}
	}
}
