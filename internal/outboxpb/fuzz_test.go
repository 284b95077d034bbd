package outboxpb

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport"
)

// FuzzUnmarshalEnvelope checks that arbitrary bytes never cause a panic, and that a decoded
// envelope can be encoded and decoded again with the same result.
func FuzzUnmarshalEnvelope(f *testing.F) {
	record, err := MarshalEnvelope(&transport.Envelope{
		Subject: "saga.command.bank.pay", ID: "order-1/hod85snpc0/pay/do/1", Type: transport.TypeCommand, Saga: "order-1", Birth: 1_795_262_400_000_000, Step: "pay",
		Direction: contract.DirectionDo, Attempt: 1, Time: time.Unix(1, 2).UTC(), ReplyTo: "saga.event.bank.order-1.hod85snpc0.pay.do.1", Data: []byte("{}"),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add(record[:len(record)/2])
	f.Add(bytes.Repeat([]byte{0x0a, 0x00}, 50))
	f.Fuzz(func(t *testing.T, record []byte) {
		e, err := UnmarshalEnvelope(record)
		if err != nil {
			return
		}
		written, err := MarshalEnvelope(e)
		if err != nil {
			t.Fatalf("was read and cannot be written: %v", err)
		}
		again, err := UnmarshalEnvelope(written)
		if err != nil {
			t.Fatalf("was written and cannot be read: %v", err)
		}
		if diff := cmp.Diff(e, again); diff != "" {
			t.Errorf("reads back as another (-was +is):\n%s", diff)
		}
	})
}
