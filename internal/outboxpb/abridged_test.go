package outboxpb

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/transport"
)

// usual returns a record as a coordinator creates it. Its data is stored elsewhere.
func usual() *outbox.Record {
	return &outbox.Record{
		ID: outbox.ID{Saga: "01a21e68-9adc-751c-80c2-df6776e5eb3c", Birth: 1_795_262_400_000_000, Revision: 3, Index: 1},
		Envelope: transport.Envelope{
			Subject: "saga.command.payment.charge-payment", DedupID: "6ce69e6c68fcb683eeef94015c36bd3d",
			ID:     "01a21e68-9adc-751c-80c2-df6776e5eb3c/hod85snpc0/charge-payment/do/2",
			Source: "/amends/coordinator", Type: transport.TypeCommand, Time: time.Unix(1, 2).UTC(), ContentType: transport.JSON,
			Saga: "01a21e68-9adc-751c-80c2-df6776e5eb3c", Birth: 1_795_262_400_000_000, Definition: contract.DefinitionRef{Name: "checkout", Version: 1},
			Step: "charge-payment", Direction: contract.DirectionDo, Attempt: 2,
			ReplyTo: "saga.event.payment.01a21e68-9adc-751c-80c2-df6776e5eb3c.hod85snpc0.charge-payment.do.2", Expires: time.Unix(31, 2).UTC(),
		},
		To: "payment",
	}
}

// mixed draws records in which some fields can be derived from others and some cannot.
var mixed = rapid.Custom(func(t *rapid.T) *outbox.Record {
	r, from := records.Draw(t, "record"), usual()
	r.To = rapid.SampledFrom([]outbox.Destination{outbox.Lifecycle, "payment"}).Draw(t, "to")
	if rapid.Bool().Draw(t, "usual saga") {
		r.Envelope.Saga = r.ID.Saga
	}
	if rapid.Bool().Draw(t, "usual birth") {
		r.Envelope.Birth = r.ID.Birth
	}
	if rapid.Bool().Draw(t, "usual step") {
		r.Envelope.Step, r.Envelope.Direction, r.Envelope.Attempt = from.Envelope.Step, from.Envelope.Direction, from.Envelope.Attempt
	}
	if rapid.Bool().Draw(t, "usual words") {
		r.Envelope.Source, r.Envelope.Type, r.Envelope.ContentType = from.Envelope.Source, from.Envelope.Type, from.Envelope.ContentType
		r.Envelope.Subject, r.Envelope.DedupID = from.Envelope.Subject, from.Envelope.DedupID
	}
	if rapid.Bool().Draw(t, "announcement") {
		r.Envelope.Type = transport.TypeLifecycle
	}
	if rapid.Bool().Draw(t, "usual id") {
		r.Envelope.ID = usualID(&r.Envelope, r.ID)
	}
	if rapid.Bool().Draw(t, "usual reply") {
		r.Envelope.ReplyTo = replyTo(&r.Envelope)
	}
	return r
})

// TestAbridgedReadsBack checks that an abridged record is decoded unchanged, whatever could be
// derived.
func TestAbridgedReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := mixed.Draw(t, "record")
		data, err := AppendAbridged([]byte("before"), r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := UnmarshalAbridged(data[len("before"):], r.ID, r.To)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(*r, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("reads back as another (-was +is):\n%s", diff)
		}
	})
}

// TestAbridgedIsShort checks that abridging a typical record reduces its size to a fourth.
func TestAbridgedIsShort(t *testing.T) {
	r := usual()
	long, err := MarshalRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	short, err := AppendAbridged(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	if len(short) > len(long)/4 {
		t.Errorf("%d bytes of %d: %q", len(short), len(long), short)
	}
}

func TestAbridgedRefuses(t *testing.T) {
	r := usual()
	data, err := AppendAbridged(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	read := func(data []byte) error {
		_, err := UnmarshalAbridged(data, r.ID, r.To)
		return err
	}
	for want, err := range map[string]error{
		"was written by a later release": read(append([]byte{0xff, 0xff, 0x7f}, data...)),
		"unknown header":                 read(nil),
		"read an envelope":               read(data[:len(data)-1]),
		"marked as omitted is present":   read([]byte{leftSource, 0x0a, 1, 's', 0x22, 1, 'x'}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	spoilt := *r
	spoilt.Envelope.Subject = ""
	if _, err := AppendAbridged(nil, &spoilt); err == nil || !strings.Contains(err.Error(), "subject is missing") {
		t.Errorf("got %v", err)
	}
}

// FuzzUnmarshalAbridged checks that arbitrary bytes never cause a panic, and that a decoded record
// can be encoded and decoded again with the same result.
func FuzzUnmarshalAbridged(f *testing.F) {
	r := usual()
	data, err := AppendAbridged(nil, r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte{leftLifecycle | leftID | leftSaga, 0x0a, 1, 's'})
	f.Fuzz(func(t *testing.T, data []byte) {
		read, err := UnmarshalAbridged(data, r.ID, r.To)
		if err != nil {
			return
		}
		written, err := AppendAbridged(nil, &read)
		if err != nil {
			t.Fatalf("was read and cannot be written: %v", err)
		}
		again, err := UnmarshalAbridged(written, r.ID, r.To)
		if err != nil {
			t.Fatalf("was written and cannot be read: %v", err)
		}
		if diff := cmp.Diff(read, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("reads back as another (-was +is):\n%s", diff)
		}
	})
}
