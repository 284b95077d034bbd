package natsbus

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

// TestReasonsAreNotQuoted: an error about a malformed reason becomes a reason itself. More people
// see that reason, so it must not quote the original.
func TestReasonsAreNotQuoted(t *testing.T) {
	const theirs = "card 4111-1111"
	for name, header := range map[string]nats.Header{
		"percent":          {"ce-reason": {theirs + " 50% off"}},
		"twice":            {"ce-reason": {theirs, theirs}},
		"in another case":  {"ce-reason": {theirs}, "CE-Reason": {theirs}},
		"another header":   {"ce-step": {theirs + "%"}},
		"that is no birth": {"ce-birth": {theirs}},
	} {
		header["ce-type"] = []string{transport.TypeRejected}
		_, err := wire.Decode(&nats.Msg{Subject: "saga.event.a.b.1.c.do.1", Header: header})
		ofReason := strings.Contains(strings.ToLower(name+header.Get("ce-reason")), theirs)
		if err == nil || strings.Contains(err.Error(), theirs) == ofReason {
			t.Errorf("%s: %v", name, err)
		}
	}
}
