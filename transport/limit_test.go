package transport_test

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// largest returns an envelope in which every attribute has its maximum length. Attributes contain
// bytes that must be escaped, where such bytes are allowed.
func largest() transport.Envelope {
	text := func(n int) string { return strings.Repeat("\x01", n) }
	name := strings.Repeat("n", contract.MaxNameLength)
	moment := time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	return transport.Envelope{
		Subject: strings.Repeat("s", transport.MaxSubject), DedupID: text(transport.MaxDedupID),
		ID: text(transport.MaxID), Source: text(transport.MaxSource), Type: text(transport.MaxType), Time: moment,
		ContentType: text(transport.MaxContentType),
		TraceParent: traceParent, TraceState: strings.Repeat("~", transport.MaxTraceState),
		Saga: contract.SagaID(strings.Repeat("x", contract.MaxSagaIDLength)), Birth: contract.MaxBirth, Definition: contract.DefinitionRef{Name: name, Version: contract.MaxNumber},
		Step: contract.StepName(name), Direction: contract.DirectionUndo, Attempt: contract.MaxNumber, ReplyTo: strings.Repeat("ÿ", transport.MaxSubject/2),
		Expires: moment, Owner: transport.Owner{Store: strings.Repeat("s", transport.MaxStore), Claim: math.MaxUint64}, Reason: text(transport.MaxReason), Final: true, Code: text(transport.MaxCode), RetryAfter: transport.MaxRetryAfter,
	}
}

// encoded returns the maximum length of a header. Percent-encoding turns one byte into three.
func encoded(name, value string) int {
	return len(name) + len(": ") + 3*len(value) + len("\r\n")
}

// All attributes together fit in the worst case (I10). Without this check, raising a limit could
// allow messages that no bus accepts.
func TestLargestAttributesFit(t *testing.T) {
	e, sum, count := largest(), 0, 0
	e.Attributes(func(name, value string) {
		count++
		if strings.HasPrefix(name, "ce-") {
			sum += encoded(name, value)
		} else {
			sum += len(name) + len(": ") + len(value) + len("\r\n")
		}
	})
	const attributes = 21 // for a new attribute, add a limit and a line in largest, and increase this number
	if count != attributes {
		t.Errorf("%d attributes are written, %d are bounded here", count, attributes)
	}
	sum += len("NATS/1.0\r\n\r\n") + encoded("Nats-Msg-Id", e.DedupID) + encoded("Nats-TTL", "31622400s")
	if sum > transport.MaxAttributes {
		t.Errorf("all attributes have %d bytes, more than MaxAttributes, %d", sum, transport.MaxAttributes)
	}
	dead := sum + count*len("original-") + encoded(transport.AttrReason, strings.Repeat("x", transport.MaxReason)) +
		encoded("dead-subject", e.Subject) + encoded("dead-header-block", strings.Repeat("x", 4<<10)) + 1024
	if dead > math.MaxUint16 {
		t.Errorf("a dead letter's headers have %d bytes, more than JetStream's %d", dead, math.MaxUint16)
	}
	t.Logf("attributes %d, dead letter %d, data %d, message %d bytes", sum, dead, transport.MaxData, transport.MaxMessage)
}

// With the longest prefix and names, every subject has at most MaxSubject bytes. Two of them fit
// into one line of the NATS protocol.
func TestLongestSubjectsFit(t *testing.T) {
	e := largest()
	prefix := strings.Repeat("p", transport.MaxPrefix)
	if err := transport.CheckPrefix(prefix); err != nil {
		t.Error(err)
	}
	s, name := transport.Subjects{Prefix: prefix}, string(e.Step)
	key := contract.Key{Saga: e.Saga, Birth: e.Birth, Step: e.Step, Direction: contract.DirectionUndo}
	for _, subject := range []string{
		s.Command(name, name), s.Event(name, key, contract.MaxNumber), s.Bundle(transport.StreamEvents, name, contract.MaxNumber),
		s.Lifecycle(name, string(contract.PhaseCompensating)), s.DeadLetter(transport.StreamDeadLetters, name), s.API(api.MethodDiscardDeadLetters), s.Subscribe(name),
	} {
		if len(subject) > transport.MaxSubject {
			t.Errorf("subject %s has %d bytes, more than MaxSubject, %d", subject, len(subject), transport.MaxSubject)
		}
	}
	if id := transport.CommandID(key, contract.MaxNumber) + "/completed/too-large"; len(id) > transport.MaxID {
		t.Errorf("id %s has %d bytes, more than MaxID", id, len(id))
	}
	const maxControlLine = 4096 // default of a NATS server
	if 2*transport.MaxSubject+256 > maxControlLine {
		t.Errorf("subject and reply subject do not fit %d", maxControlLine)
	}
	for _, bad := range []string{prefix + "p", "sagä", "a b", "a..b", ">"} {
		if transport.CheckPrefix(bad) == nil {
			t.Errorf("the prefix %q is taken", bad)
		}
	}
}

// Each attribute is accepted at its limit. One byte more is cut, is dropped, or causes an error
// with name, length and limit.
func TestBounds(t *testing.T) {
	e := largest()
	e.ContentType = "text/plain; a=" + strings.Repeat("x", transport.MaxContentType-len("text/plain; a="))
	e.Attributes(func(name, value string) {
		if err := new(transport.Envelope).SetAttribute(name, value); err != nil {
			t.Errorf("%s at its bound: %v", name, err)
		}
	})
	for name, most := range map[string]int{
		transport.AttrID: 512, transport.AttrSource: 256, transport.AttrType: 128, transport.AttrContentType: 255, "content-type": 255,
		transport.AttrReplyTo: 512, transport.AttrCode: 64, transport.AttrTime: 64, transport.AttrExpires: 64,
		transport.AttrSaga: 128, transport.AttrBirth: 12, transport.AttrStep: 64, transport.AttrDefinition: 64, transport.AttrDirection: 4, transport.AttrAttempt: 19,
		transport.AttrFinal: 5, transport.AttrRetryAfter: 10, transport.AttrSpecVersion: 3, transport.AttrOwner: 64 + 1 + 20,
	} {
		for _, n := range []int{most + 1, 70_000} {
			err := new(transport.Envelope).SetAttribute(name, strings.Repeat("7", n))
			if err == nil || len(err.Error()) > 400 {
				t.Errorf("%s of %d bytes: %.500v", name, n, err)
			}
		}
	}
	var cut transport.Envelope
	if err := cut.SetAttribute(transport.AttrReason, strings.Repeat("é", 35_000)); err != nil || len(cut.Reason) > transport.MaxRefusal || !utf8.ValidString(cut.Reason) {
		t.Errorf("a reason of 70,000 bytes: %v, and %d bytes are kept", err, len(cut.Reason))
	}
}
