package natsbus

import (
	"errors"
	"strings"
	"sync"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/percent"
)

// encode writes an envelope as a NATS message: CloudEvents attributes as
// percent-encoded headers, trace context as it is, data untouched.
func encode(e *transport.Envelope) *nats.Msg {
	f := newForm()
	f.write(e)
	return &f.msg
}

// form is a message with room for its headers that is used again and again: most
// of what writing one costs is its map.
type form struct {
	msg    nats.Msg
	values []string // one array for all headers
	size   int      // in bytes on the wire, as nats.Msg.Size counts without its reply subject
}

func newForm() *form {
	return &form{msg: nats.Msg{Header: make(nats.Header, 20)}, values: make([]string, 0, 24)}
}

var forms = sync.Pool{New: func() any { return newForm() }}

// borrow is encode into a form that has to be released.
func borrow(e *transport.Envelope) *form {
	f := forms.Get().(*form)
	f.write(e)
	return f
}

// release gives a form back. Nobody may look at its message any more, the NATS
// client included.
func (f *form) release() {
	header := f.msg.Header
	clear(header)
	clear(f.values)
	f.msg, f.values, f.size = nats.Msg{Header: header}, f.values[:0], 0
	forms.Put(f)
}

func (f *form) write(e *transport.Envelope) {
	m := &f.msg
	m.Subject, m.Data = e.Subject, e.Data
	f.size = len(e.Subject) + len(e.Data) + len("NATS/1.0\r\n\r\n")
	e.Attributes(func(name, value string) {
		if strings.HasPrefix(name, "ce-") {
			value = percent.Encode(value)
		}
		f.set(name, value)
	})
	if e.DedupID != "" {
		f.set(jetstream.MsgIDHeader, e.DedupID)
	}
}

func (f *form) set(name, value string) {
	f.size += len(name) + len(": ") + len(value) + len("\r\n")
	f.values = append(f.values, value)
	n := len(f.values)
	f.msg.Header[name] = f.values[n-1 : n : n]
}

// decode reads a NATS message. An error says what in its headers is wrong; what
// could be read is returned all the same.
func decode(m *nats.Msg) (transport.Envelope, error) {
	l := lists.Get().(*pairs)
	defer l.release()
	list := l.list
	for key, values := range m.Header {
		for _, value := range values {
			list = join(list, key, value)
		}
	}
	l.list = list
	return read(m.Subject, list, m.Data)
}

// decodeFrame is decode for a message in a bundle.
func decodeFrame(f *frame) (transport.Envelope, error) {
	l := lists.Get().(*pairs)
	defer l.release()
	list, err := f.pairs(l.list)
	l.list = list
	if err != nil {
		return transport.Envelope{Subject: f.subject, Data: f.data}, err
	}
	return read(f.subject, list, f.data)
}

// pair is a header that is read.
type pair struct {
	name, value string // the name in lower case
	again       string // why it may not be there, if it is there more than once
}

// pairs is a list of headers that is used again and again.
type pairs struct{ list []pair }

var lists = sync.Pool{New: func() any { return &pairs{list: make([]pair, 0, 24)} }}

func (p *pairs) release() {
	clear(p.list)
	p.list = p.list[:0]
	lists.Put(p)
}

// join adds a header to the list, if it is one that is read.
func join(list []pair, key, value string) []pair {
	name := strings.ToLower(key)
	if !known(name) {
		return list
	}
	for i := range list {
		p := &list[i]
		switch {
		case p.name != name:
			continue
		case name == transport.AttrTraceState: // a list by its nature
			p.value += "," + value
		default:
			p.again = "is there more than once, perhaps in different cases; give it once"
		}
		return list
	}
	return append(list, pair{name: name, value: value})
}

// read makes an envelope of headers and data. An answer whose content type cannot be
// used is one all the same.
func read(subject string, list []pair, data []byte) (e transport.Envelope, err error) {
	e.Subject, e.Data = subject, data
	var unusable error
	for i := range list {
		problem := list[i].setOn(&e)
		if content, ok := errors.AsType[*transport.ContentTypeError](problem); ok {
			unusable = content
		} else if err == nil {
			err = problem
		}
	}
	if e.TraceParent == "" {
		e.TraceState = "" // means nothing alone
	}
	if err == nil && !e.IsAnswer() {
		err = unusable
	}
	return e, err
}

// setOn sets the attribute that a header is.
func (p *pair) setOn(e *transport.Envelope) error {
	name, value := p.name, p.value
	switch {
	case p.again != "" && name == transport.AttrTraceParent:
		e.DropTrace()
		return nil
	case p.again != "":
		return transport.BadAttribute(name, value, p.again)
	case name == "nats-msg-id":
		if len(value) <= transport.MaxDedupID && !strings.ContainsFunc(value, unicode.IsControl) {
			e.DedupID = value
		}
		return nil
	}
	if strings.HasPrefix(name, "ce-") {
		decoded, ok := percent.Decode(value)
		if !ok {
			return e.Unreadable(name, value, "is not percent-encoded: % is followed by two hexadecimal digits, or written %25")
		}
		value = decoded
	}
	return e.SetAttribute(name, value)
}

// known says whether a header is read; others may be repeated and be as they like.
func known(name string) bool {
	switch name {
	case transport.AttrTraceParent, transport.AttrTraceState, "content-type", "nats-msg-id":
		return true
	}
	return strings.HasPrefix(name, "ce-")
}

func cut(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
