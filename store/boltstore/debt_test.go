package boltstore

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store/seal"
	"github.com/amends-dev/amends/transport"
)

// TestOwedSealIsBound checks that a sealed message is bound to the saga's birth, and to the
// unsealed saga, revision and index before it.
func TestOwedSealIsBound(t *testing.T) {
	line, err := seal.NewKey("key-1")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.ParseKeys([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	record := outbox.Record{
		ID:       outbox.ID{Saga: "order-1", Birth: 7, Revision: 3, Index: 2},
		To:       "bank",
		Envelope: transport.Envelope{Subject: "saga.command.bank.pay", Data: []byte("secret")},
	}
	frame, err := owedFrame(keys, &record, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := frame[frameSize:]
	read := func(body []byte, birth contract.Birth) (outbox.Record, error) {
		o, err := parseOwed(body, true)
		if err != nil {
			t.Fatal(err)
		}
		o.id.Birth = birth
		return o.read(keys, "bank", func() ([]byte, error) { return nil, nil })
	}
	if got, err := read(body, 7); err != nil || !reflect.DeepEqual(got, record) {
		t.Fatalf("got %+v (%v), want %+v", got, err, record)
	}
	o, err := parseOwed(body, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []outbox.ID{
		{Saga: "order-2", Birth: 7, Revision: 3, Index: 2}, {Saga: "order-1", Birth: 7, Revision: 4, Index: 2},
		{Saga: "order-1", Birth: 7, Revision: 3, Index: 1}, {Saga: "order-1", Birth: 8, Revision: 3, Index: 2},
	} {
		if _, err := read(append(appendOwner(nil, id), o.rest...), id.Birth); err == nil || !strings.Contains(err.Error(), "it cannot be decrypted") {
			t.Errorf("taken as %s: %v", id, err)
		}
	}
	if bytes.Contains(frame, []byte("secret")) {
		t.Error("it is not sealed")
	}
}
