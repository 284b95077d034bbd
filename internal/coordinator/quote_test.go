package coordinator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/transport"
)

// TestDeadLettersQuoteNoData checks that neither the reason of a dead letter nor that of an
// unusable result quotes received data. There is one exception: if a participant answers without a
// reason attribute, the data is the reason.
func TestDeadLettersQuoteNoData(t *testing.T) {
	const word = "4111x1111y1111"
	data := []byte(`{"card":"` + word + `"}`)
	good := transport.Envelope{Subject: "saga.event.bank.order-1.charge.do.1", Type: transport.TypeCompleted, Data: data}
	for name, change := range map[string]func(*transport.Envelope){
		"subject":      func(e *transport.Envelope) { e.Subject = "saga.event.bank.order-1.charge" },
		"attempt":      func(e *transport.Envelope) { e.Subject = "saga.event.bank.order-1.charge.do.x" },
		"type":         func(e *transport.Envelope) { e.Type = "done" },
		"content type": func(e *transport.Envelope) { e.ContentType = "no type" },
		"size":         func(e *transport.Envelope) { e.Data = []byte(strings.Repeat(word, contract.MaxPayload)) },
		"failed":       func(e *transport.Envelope) { e.Type, e.Reason = transport.TypeFailed, "no" },
		"rejected":     func(e *transport.Envelope) { e.Type, e.Reason = transport.TypeRejected, "no" },
	} {
		e := good
		change(&e)
		input, class, err := coordinator.ReadAnswer(transport.Subjects{}, &e, time.Unix(1, 0))
		if err == nil && input.Event.Reason == "" {
			t.Errorf("%s: nothing is said: %+v", name, input.Event)
		}
		if err != nil && (class == "" || strings.Contains(err.Error(), word)) || strings.Contains(input.Event.Reason, word) {
			t.Errorf("%s: %s %v; %s", name, class, err, input.Event.Reason)
		}
	}
}
