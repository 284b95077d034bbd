package transport_test

import (
	"strings"
	"testing"

	"github.com/amends-dev/amends/transport"
)

const (
	traceID     = "0af7651916cd43dd8448eb211c80319c"
	spanID      = "b7ad6b7169203331"
	traceParent = "00-" + traceID + "-" + spanID + "-01"
)

// The forwarded context conforms to https://www.w3.org/TR/trace-context/.
func TestTraceContext(t *testing.T) {
	ids := "-" + traceID + "-" + spanID
	passed := map[string]string{
		traceParent:                              traceParent,
		"00" + ids + "-00":                       "00" + ids + "-00",
		"00" + ids + "-ff":                       "00" + ids + "-ff",
		"01" + ids + "-01":                       "00" + ids + "-01",
		"fe" + ids + "-f0":                       "00" + ids + "-00",
		"cc" + ids + "-0b-what the future holds": "00" + ids + "-01",
		"cc" + ids + "-01-" + strings.Repeat("x", 70_000): "00" + ids + "-01",
	}
	for given, want := range passed {
		if parent, state, dropped := transport.TraceContext(given, "a=1"); parent != want || state != "a=1" || dropped {
			t.Errorf("%.80s: %q, %q, dropped: %t", given, parent, state, dropped)
		}
	}
	for name, given := range map[string]string{
		"garbage": "garbage", "a space": " " + traceParent, "long": traceParent + "x", "a part more": traceParent + "-01", "short": traceParent[:54],
		"70,000 bytes": strings.Repeat("x", 70_000), "version ff": "ff" + ids + "-01", "capitals": strings.ToUpper(traceParent), "no version": "0x" + ids + "-01",
		"zero trace": "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", "zero span": "00-" + traceID + "-" + strings.Repeat("0", 16) + "-01",
		"a later version without a hyphen": "01" + ids + "-01x", "flags": "00" + ids + "-0g", "hyphens": strings.ReplaceAll(traceParent, "-", "_"), "NUL": "00" + ids + "-0\x00",
	} {
		if parent, state, dropped := transport.TraceContext(given, "a=1"); parent != "" || state != "" || !dropped {
			t.Errorf("%s: %q, %q, dropped: %t", name, parent, state, dropped)
		}
	}
	for name, state := range map[string]string{"513 bytes": strings.Repeat("a", 513), "a line": "a=1\r\nx: y", "a tab": "a=1,\tb=2", "not ASCII": "a=é"} {
		if parent, kept, dropped := transport.TraceContext(traceParent, state); parent != traceParent || kept != "" || !dropped {
			t.Errorf("a tracestate of %s: %q, %q, dropped: %t", name, parent, kept, dropped)
		}
	}
	if parent, state, dropped := transport.TraceContext("", "a=1"); parent+state != "" || dropped {
		t.Errorf("a tracestate alone: %q, %q, dropped: %t", parent, state, dropped)
	}
}

// Trace attributes may come in any order and never cause an error. A context that must not be
// forwarded is not encoded.
func TestTraceAttributes(t *testing.T) {
	for name, c := range map[string]struct {
		parent, state string
		want          transport.Envelope
	}{
		"both":       {traceParent, "a=1", transport.Envelope{TraceParent: traceParent, TraceState: "a=1"}},
		"no parent":  {"x", "a=1", transport.Envelope{TraceDropped: true}},
		"no state":   {traceParent, strings.Repeat("a", 70_000), transport.Envelope{TraceParent: traceParent, TraceDropped: true}},
		"not UTF-8":  {"\xff", "\xff", transport.Envelope{TraceDropped: true}},
		"the future": {"01" + traceParent[2:], "", transport.Envelope{TraceParent: traceParent}},
	} {
		for _, order := range [][2]string{{transport.AttrTraceParent, transport.AttrTraceState}, {transport.AttrTraceState, transport.AttrTraceParent}} {
			var e transport.Envelope
			for _, attribute := range order {
				value := map[string]string{transport.AttrTraceParent: c.parent, transport.AttrTraceState: c.state}[attribute]
				if err := e.SetAttribute(attribute, value); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if e.TraceParent != c.want.TraceParent || e.TraceState != c.want.TraceState || e.TraceDropped != c.want.TraceDropped {
				t.Errorf("%s, %s first: %+v", name, order[0], e)
			}
		}
		e := transport.Envelope{TraceParent: c.parent, TraceState: c.state}
		e.Attributes(func(attribute, value string) {
			if attribute == transport.AttrTraceParent && value != c.want.TraceParent || attribute == transport.AttrTraceState && value != c.want.TraceState {
				t.Errorf("%s: %s %.80q is written", name, attribute, value)
			}
		})
		if e.CleanTrace() != c.want.TraceDropped || e.TraceParent != c.want.TraceParent || e.TraceState != c.want.TraceState {
			t.Errorf("%s, cleaned: %+v", name, e)
		}
	}
}
