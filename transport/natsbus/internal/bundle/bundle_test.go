package bundle_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/pool"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

var envelopes = rapid.Custom(func(t *rapid.T) transport.Envelope {
	text := rapid.StringMatching(`[ -~äß%\n"]{0,20}`)
	key := contract.Key{Saga: contract.SagaID(rapid.StringMatching(`[A-Za-z0-9_:=@-]{1,20}`).Draw(t, "saga")), Birth: 7, Step: "reserve", Direction: contract.DirectionDo}
	e := transport.Envelope{
		Subject: transport.Subjects{}.Event("inventory", key, 1), DedupID: rapid.StringMatching(`[a-f0-9]{0,32}`).Draw(t, "dedup"),
		Type: transport.TypeFailed, ID: text.Draw(t, "id"), Reason: text.Draw(t, "reason"), Final: rapid.Bool().Draw(t, "final"),
		Saga: key.Saga, Birth: key.Birth, Step: key.Step, Direction: key.Direction, Attempt: 1,
		Data: rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "data"),
	}
	if rapid.Bool().Draw(t, "dated") {
		e.Time = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), 125e6).UTC()
	}
	if rapid.Bool().Draw(t, "traced") {
		e.TraceParent, e.TraceState = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=abc"
	}
	return e
})

// A bundle decodes to the same envelopes as single messages.
func TestBundleRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batch := rapid.SliceOfN(envelopes, 1, bundle.Most).Draw(t, "batch")
		p := bundle.NewWriter()
		for i := range batch {
			p.Add(&batch[i])
		}
		frames, err := bundle.Decode(p.Bytes(), len(batch))
		if err != nil {
			t.Fatal(err)
		}
		for i := range frames {
			got, err := frames[i].Envelope()
			if err != nil {
				t.Fatal(err)
			}
			alone, err := wire.Decode(wire.Encode(&batch[i]))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(alone, got); diff != "" {
				t.Errorf("in a bundle it is another than alone (-alone +bundle):\n%s", diff)
			}
			if string(got.Data) != string(batch[i].Data) || got.Reason != batch[i].Reason {
				t.Errorf("%+v came as %+v", batch[i], got)
			}
			m, block := frames[i].Alone("")
			if block != "" || m.Header.Get("ce-type") != transport.TypeFailed {
				t.Errorf("its headers cannot be read: %q", block)
			}
		}
	})
}

// Messages and bundles are the same with reused memory as with new memory (ADR 0041).
func TestPoolsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batch := rapid.SliceOfN(envelopes, 2, 5).Draw(t, "batch")
		encoded := func() (out []string) {
			for i := range batch {
				m := wire.Borrow(&batch[i])
				out = append(out, fmt.Sprint(m.Msg.Subject, m.Msg.Header, string(m.Msg.Data), m.Size()))
				m.Release()
				w := bundle.NewWriter()
				w.Add(&batch[i])
				out = append(out, string(w.Bytes()))
				w.Release()
				decoded, err := wire.Decode(wire.Encode(&batch[i]))
				out = append(out, fmt.Sprintf("%+v, %v", decoded, err))
			}
			return out
		}
		pooled, plain := encoded(), []string(nil)
		pool.Without(func() { plain = encoded() })
		if diff := cmp.Diff(plain, pooled); diff != "" {
			t.Errorf("-new memory +reused:\n%s", diff)
		}
	})
}

// A reference to one message of a bundle does not keep the rest of the bundle in memory.
func TestDecodeKeepsNothingOfTheBundle(t *testing.T) {
	p := bundle.NewWriter()
	p.Add(&transport.Envelope{Subject: "saga.event.a.s.7.t.do.1", Type: transport.TypeCompleted, Data: []byte(`{"receipt":1}`)})
	frames, err := bundle.Decode(p.Bytes(), 1)
	if err != nil {
		t.Fatal(err)
	}
	clear(p.Bytes())
	e, err := frames[0].Envelope()
	if err != nil || e.Subject != "saga.event.a.s.7.t.do.1" || string(e.Data) != `{"receipt":1}` {
		t.Errorf("%+v, %v", e, err)
	}
}

// A line break in a value cannot end its header.
func TestBundleHeaderIsOneLine(t *testing.T) {
	e := transport.Envelope{Subject: "saga.event.a.s.7.t.do.1", Type: transport.TypeCompleted, TraceState: "a=1\r\nce-final: true", DedupID: "x\ny"}
	p := bundle.NewWriter()
	p.Add(&e)
	frames, err := bundle.Decode(p.Bytes(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := frames[0].Envelope()
	if err != nil || got.Final || got.DedupID != "x y" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Decode refuses an invalid bundle with an error that contains the position and the problem.
func TestDecodeRefuses(t *testing.T) {
	const one = "HPUB saga.event.a.s.7.t.do.1 12 14\r\nNATS/1.0\r\n\r\n{}\r\n"
	cases := map[string]struct {
		data string
		n    int
		why  string
	}{
		"empty":               {"", 1, "has 0 messages, but its subject says 1"},
		"none promised":       {one, 0, "1 to 64"},
		"too many promised":   {one, 65, "1 to 64"},
		"fewer than promised": {one, 2, "has 1 message, but its subject says 2"},
		"more than promised":  {one + one, 1, "more messages than its subject says (1)"},
		"another operation":   {strings.Replace(one, "HPUB", "PUB", 1), 1, "message 1 of the bundle, at byte 0: expected HPUB"},
		"no numbers":          {strings.Replace(one, "12 14", "a b", 1), 1, "HPUB"},
		"a negative number":   {strings.Replace(one, "12 14", "-1 14", 1), 1, "HPUB"},
		"more headers":        {strings.Replace(one, "12 14", "15 14", 1), 1, "HPUB"},
		"cut off":             {one[:len(one)-3], 1, "HPUB"},
		"a number too high":   {strings.Replace(one, "12 14", "12 99999999999999999999", 1), 1, "HPUB"},
		"longer than it is":   {strings.Replace(one, "12 14", "12 16", 1), 1, "HPUB"},
		"no end":              {strings.Replace(one, "{}\r\n", "{}\r\r", 1), 1, "HPUB"},
		"the second":          {one + "PING\r\n", 2, fmt.Sprintf("message 2 of the bundle, at byte %d", len(one))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := bundle.Decode([]byte(c.data), c.n); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %q", err, c.why)
			}
		})
	}
	if frames, err := bundle.Decode([]byte(one+one), 2); err != nil || len(frames) != 2 {
		t.Errorf("%d messages (%v)", len(frames), err)
	}
	for _, header := range []string{"", "NATS/1.0\r\n", "NATS/1.0\r\nce-type\r\n\r\n", "NATS/1.0\r\n: x\r\n\r\n", "ce-type: a\r\n\r\n"} {
		if _, err := (&bundle.Message{Header: header}).Envelope(); err == nil {
			t.Errorf("headers %q were read", header)
		}
	}
}

// FuzzDecode decodes arbitrary bundles. Decode must not panic, errors must be short, and decoded
// messages must consist of bytes of the input.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("HPUB saga.event.a.s.7.t.do.1 12 14\r\nNATS/1.0\r\n\r\n{}\r\n"), 1)
	f.Add([]byte("HPUB saga.command.a.b 40 40\r\nNATS/1.0\r\nce-type: x\r\nTraceState: a\r\n\r\n\r\nHPUB a 0 0\r\n\r\n"), 2)
	p := bundle.NewWriter()
	e := transport.Envelope{Subject: "saga.event.a.s.7.t.do.1", Type: transport.TypeRejected, Reason: "50 % off", DedupID: "a"}
	p.Add(&e)
	p.Add(&e)
	f.Add(p.Bytes(), 2)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		frames, err := bundle.Decode(data, n)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("the reason has %d bytes", len(err.Error()))
			}
			return
		}
		held := 0
		for i := range frames {
			held += len(frames[i].Header) + len(frames[i].Data)
			e, err := frames[i].Envelope()
			if err != nil && len(err.Error()) > 2000 {
				t.Errorf("the reason has %d bytes", len(err.Error()))
			}
			if string(e.Data) != string(frames[i].Data) {
				t.Errorf("data %q came as %q", frames[i].Data, e.Data)
			}
			frames[i].Alone("")
		}
		if held > len(data) {
			t.Errorf("%d bytes of %d", held, len(data))
		}
	})
}

// A number in a bundle has only one valid representation.
func TestOneSpellingInBundles(t *testing.T) {
	one := func(header, total string) []byte {
		return []byte("HPUB s " + header + " " + total + "\r\nNATS/1.0\r\n\r\n{}\r\n")
	}
	if f, err := bundle.Decode(one("12", "14"), 1); err != nil || string(f[0].Data) != "{}" {
		t.Fatalf("%+v, %v", f, err)
	}
	for _, text := range []string{"012", "+12", " 12", "12 ", "12.0", "1_2", "0xc", "١٢"} {
		if _, err := bundle.Decode(one(text, "14"), 1); err == nil {
			t.Errorf("%q is read as the bytes of headers", text)
		}
	}
	for _, text := range []string{"014", "+14", "14.0"} {
		if _, err := bundle.Decode(one("12", text), 1); err == nil {
			t.Errorf("%q is read as the bytes in all", text)
		}
	}
}
