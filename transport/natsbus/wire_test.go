package natsbus

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/internal/wiretest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

// TestWire: wire.Encode writes the bytes that docs/WIRE.md shows, and wire.Decode reads them.
func TestWire(t *testing.T) {
	for _, example := range wiretest.Examples() {
		t.Run(example.Name, func(t *testing.T) {
			message, err := wiretest.Read(example.Name)
			if err != nil {
				t.Fatal(err)
			}
			if example.Bundle != nil {
				example.Envelope.Data = []byte(message.Data) // covered by TestBundleWire
			}
			header, err := nats.DecodeHeadersMsg([]byte(message.Header))
			if err != nil {
				t.Fatal(err)
			}
			got, err := wire.Decode(&nats.Msg{Subject: message.Subject, Header: header, Data: []byte(message.Data)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(example.Envelope, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("decode (-want +got):\n%s", diff)
			}
			if example.OneWay {
				return
			}
			f := wire.Borrow(&example.Envelope)
			if f.Size() != f.Msg.Size() {
				t.Errorf("counted %d bytes, it has %d", f.Size(), f.Msg.Size())
			}
			f.Release()
			written := wire.Encode(&example.Envelope)
			for name, value := range example.Extra {
				written.Header[name] = []string{value}
			}
			if diff := cmp.Diff(header, written.Header); diff != "" {
				t.Errorf("encode (-want +got):\n%s", diff)
			}
			if string(written.Data) != message.Data {
				t.Errorf("encode writes the data %q, want %q", written.Data, message.Data)
			}
		})
	}
}

// TestBundleWire: a bus encodes its answers as the bundle that docs/WIRE.md shows, and decodes that
// bundle to the same answers.
func TestBundleWire(t *testing.T) {
	message, err := wiretest.Read("bundle")
	if err != nil {
		t.Fatal(err)
	}
	var want []transport.Envelope
	for _, example := range wiretest.Examples() {
		want = append(want, example.Bundle...)
	}
	w := bundle.NewWriter()
	defer w.Release()
	for i := range want {
		w.Add(&want[i])
	}
	if diff := cmp.Diff(string(w.Bytes()), message.Data); diff != "" {
		t.Errorf("written (-is +shown):\n%s", diff)
	}
	participant, n, ok := transport.Subjects{}.ParseBundle(message.Subject)
	if !ok || participant != "payment" || n != len(want) {
		t.Errorf("its subject says %d messages of %q", n, participant)
	}
	messages, err := bundle.Decode([]byte(message.Data), n)
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		got, err := messages[i].Envelope()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[i], got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("message %d (-want +got):\n%s", i+1, diff)
		}
	}
}
