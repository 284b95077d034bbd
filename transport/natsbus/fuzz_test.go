package natsbus

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

// FuzzDecode decodes arbitrary header blocks on any stream, as parsed by the client library. A
// valid message can be encoded and decodes to the same envelope. An invalid message has a reason
// that quotes little of it (I9).
func FuzzDecode(f *testing.F) {
	const event = "saga.event.inventory.order-1.7.reserve.do.1"
	f.Add(event, "ce-type: "+transport.TypeCompleted+"\r\n", []byte(`{}`))
	f.Add(event, "CE-Type: "+transport.TypeFailed+"\r\nce-reason: 50%25%20off, Gr%c3%bc\r\nTracestate: a=1\r\nTraceState: b=2\r\n", []byte("x"))
	f.Add("saga.command.bank.pay", "ce-type: "+transport.TypeCommand+"\r\nce-sagaid: o\r\nce-birth: 7\r\nce-step: s\r\nce-direction: undo\r\nce-attempt: 3\r\n"+
		"ce-replyto: saga.event.bank.o.7.s.undo.3\r\nce-definition: checkout/2\r\nce-expirytime: 2026-11-21T00:00:00Z\r\nNats-Msg-Id: a\r\n", []byte("[]"))
	f.Add("saga.lifecycle.checkout.completed", "ce-type: "+transport.TypeLifecycle+"\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n", []byte{})
	f.Add(event, "ce-type: "+transport.TypeCompleted+"\r\nce-datacontenttype: text/plain;%0d%0acharset=utf-8\r\ntraceparent: 0\r0\r\n", []byte("x"))
	for _, long := range []string{"ce-" + strings.Repeat("a", 3000), "ce-" + strings.Repeat("%ff", 1000)} {
		f.Add(event, long+": 1\r\n"+long+": 2\r\n", []byte("{}")) // the same long header twice
		f.Add(event, long+": %\r\n", []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, subject, headers string, data []byte) {
		header, err := nats.DecodeHeadersMsg([]byte("NATS/1.0\r\n" + headers + "\r\n"))
		if err != nil {
			return
		}
		envelope, err := wire.Decode(&nats.Msg{Subject: subject, Header: header, Data: data})
		for _, stream := range transport.Streams {
			e := envelope
			problem := err
			if problem == nil {
				problem = transport.Subjects{}.Admit(stream, &e)
			}
			if problem != nil {
				if len(problem.Error()) > 2000 {
					t.Errorf("the reason has %d bytes", len(problem.Error()))
				}
				continue
			}
			e.TraceDropped = false // set for the receiver, but not sent
			m := wire.Encode(&e)
			for name, values := range m.Header {
				if strings.ContainsAny(name+strings.Join(values, ""), "\r\n") {
					t.Errorf("header %q: %q would break the block", name, values)
				}
			}
			again, err := wire.Decode(m)
			if err == nil {
				err = transport.Subjects{}.Admit(stream, &again)
			}
			if err != nil {
				t.Fatalf("%+v was admitted to %s and cannot be read back: %v", e, stream, err)
			}
			if diff := cmp.Diff(e, again); diff != "" {
				t.Errorf("reads back as another (-was +is):\n%s", diff)
			}
		}
	})
}
