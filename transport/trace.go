package transport

import "strings"

// TraceContext returns a W3C trace context in the form to forward, without invalid parts. A
// traceparent of a later version is parsed like version 00, and sent as version 00
// (https://www.w3.org/TR/trace-context/#versioning-of-traceparent). A tracestate is dropped if its
// traceparent is dropped, if it has more than MaxTraceState bytes, or if it contains anything but
// printable ASCII. dropped reports whether a part was dropped.
func TraceContext(traceParent, traceState string) (parent, state string, dropped bool) {
	if traceParent == "" {
		return "", "", false // a tracestate has no meaning without a traceparent
	}
	parent, ok := readTraceParent(traceParent)
	if !ok {
		return "", "", true
	}
	if !fineTraceState(traceState) {
		return parent, "", true
	}
	return parent, traceState, false
}

// CleanTrace drops the parts of the trace context that TraceContext does not forward. It reports
// whether any part was dropped, by this call or during decoding.
func (e *Envelope) CleanTrace() (dropped bool) {
	e.TraceParent, e.TraceState, dropped = TraceContext(e.TraceParent, e.TraceState)
	e.TraceDropped = e.TraceDropped || dropped
	return e.TraceDropped
}

// DropTrace removes the trace context and marks it as dropped.
func (e *Envelope) DropTrace() {
	e.TraceParent, e.TraceState, e.TraceDropped = "", "", true
}

// setTraceParent sets the traceparent. It may be called before or after the tracestate is set.
func (e *Envelope) setTraceParent(value string) {
	parent, ok := readTraceParent(value)
	if !ok {
		e.DropTrace()
		return
	}
	e.TraceParent = parent
}

// setTraceState sets the tracestate. The traceparent may be set afterwards.
func (e *Envelope) setTraceState(value string) {
	switch {
	case !fineTraceState(value):
		e.TraceDropped = true
	case e.TraceDropped: // the traceparent was invalid
	default:
		e.TraceState = value
	}
}

// readTraceParent converts a traceparent to version 00: 00-<32 hex>-<16 hex>-<2 hex>.
func readTraceParent(s string) (string, bool) {
	const version00 = MaxTraceParent
	switch {
	case len(s) < version00,
		!hexadecimal(s[:2]), s[:2] == "ff",
		s[2] != '-', !hexadecimal(s[3:35]), zeros(s[3:35]),
		s[35] != '-', !hexadecimal(s[36:52]), zeros(s[36:52]),
		s[52] != '-', !hexadecimal(s[53:55]):
		return "", false
	case s[:2] == "00":
		return s, len(s) == version00
	case len(s) > version00 && s[version00] != '-':
		return "", false
	}
	flags := "-00"
	if strings.IndexByte("13579bdf", s[54]) >= 0 {
		flags = "-01" // sampled, the only flag with the same meaning in all versions
	}
	return "00" + s[2:52] + flags, true
}

func hexadecimal(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func zeros(s string) bool { return strings.Trim(s, "0") == "" }

// fineTraceState reports whether a tracestate may be forwarded.
func fineTraceState(s string) bool {
	if len(s) > MaxTraceState {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
