package wire

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/pool"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/percent"
)

// Prefix is the status line at the beginning of a header block.
const Prefix = "NATS/1.0\r\n"

// Encode encodes an envelope as a NATS message. CloudEvents attributes become percent-encoded
// headers; trace context and data stay unchanged.
func Encode(e *transport.Envelope) *nats.Msg {
	m := newMessage()
	m.write(e)
	return &m.Msg
}

// Message is a reusable message that keeps its map of headers. Most of the cost of encoding is
// creating that map.
type Message struct {
	Msg    nats.Msg
	values []string // one array for the values of all headers
	size   int
}

func newMessage() *Message {
	return &Message{Msg: nats.Msg{Header: make(nats.Header, 20)}, values: make([]string, 0, 24)}
}

var messages = pool.New(newMessage, (*Message).reset)

// Borrow is like Encode, but uses a pooled message. The caller must release it.
func Borrow(e *transport.Envelope) *Message {
	m := messages.Get()
	m.write(e)
	return m
}

// Release returns the message to the pool. Neither the caller nor the NATS client may use the
// message afterwards.
func (m *Message) Release() { messages.Put(m) }

func (m *Message) reset() {
	header := m.Msg.Header
	clear(header)
	clear(m.values)
	m.Msg, m.values, m.size = nats.Msg{Header: header}, m.values[:0], 0
}

// Size returns the number of bytes on the wire. Unlike nats.Msg.Size, it does not count a reply
// subject.
func (m *Message) Size() int { return m.size }

// Set sets a header.
func (m *Message) Set(name, value string) {
	m.size += len(name) + len(": ") + len(value) + len("\r\n")
	m.values = append(m.values, value)
	n := len(m.values)
	m.Msg.Header[name] = m.values[n-1 : n : n]
}

func (m *Message) write(e *transport.Envelope) {
	m.Msg.Subject, m.Msg.Data = e.Subject, e.Data
	m.size = len(e.Subject) + len(e.Data) + len(Prefix) + len("\r\n")
	Headers(e, m.Set)
}

// Headers calls yield with each header of an envelope.
func Headers(e *transport.Envelope, yield func(name, value string)) {
	e.Attributes(func(name, value string) {
		if strings.HasPrefix(name, "ce-") {
			value = percent.Encode(value)
		}
		yield(name, value)
	})
	if e.DedupID != "" {
		yield(jetstream.MsgIDHeader, e.DedupID)
	}
}

// Decode decodes a NATS message. An error names the invalid headers; the envelope then contains the
// valid parts.
func Decode(m *nats.Msg) (transport.Envelope, error) {
	l := lists.Get()
	defer lists.Put(l)
	list := l.list
	for key, values := range m.Header {
		for _, value := range values {
			list = join(list, key, value)
		}
	}
	l.list = list
	return read(m.Subject, list, m.Data)
}

// DecodeBlock is like Decode, for a message whose headers are a text block: Prefix, one line for
// each header, and an empty line.
func DecodeBlock(subject, block string, data []byte) (transport.Envelope, error) {
	l := lists.Get()
	defer lists.Put(l)
	list, err := readBlock(l.list, block)
	l.list = list
	if err != nil {
		return transport.Envelope{Subject: subject, Data: data}, err
	}
	return read(subject, list, data)
}

// readBlock appends the headers of a block to list.
func readBlock(list []pair, block string) ([]pair, error) {
	rest, ok := strings.CutPrefix(block, Prefix)
	if !ok || !strings.HasSuffix(rest, "\r\n") {
		return list, errors.New("the headers do not begin with NATS/1.0 or do not end with an empty line")
	}
	for n := 2; ; n++ {
		line, more, _ := strings.Cut(rest, "\r\n")
		if line == "" && more == "" {
			return list, nil
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || key == "" {
			return list, fmt.Errorf("line %d of the headers is not of the form name: value", n) // does not quote the line
		}
		list = join(list, key, Trim(value))
		rest = more
	}
}

// Trim removes the white space around a header's value, which is nearly always one leading space.
func Trim(value string) string {
	value = strings.TrimPrefix(value, " ")
	if n := len(value); n == 0 || value[0] > ' ' && value[n-1] > ' ' {
		return value
	}
	return strings.Trim(value, " \t")
}

// pair is a header that Decode uses.
type pair struct {
	name, value string // name is in lower case
	again       string // the error about an invalid repetition; "" if there is none
}

// pairs is a reusable list of headers.
type pairs struct{ list []pair }

var lists = pool.New(func() *pairs { return &pairs{list: make([]pair, 0, 24)} }, func(p *pairs) {
	clear(p.list)
	p.list = p.list[:0]
})

// join adds a header to the list if Decode uses that header.
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
		case name == transport.AttrTraceState: // the value is a list
			p.value += "," + value
		default:
			p.again = "is given more than once, perhaps in different letter case; give it once"
		}
		return list
	}
	return append(list, pair{name: name, value: value})
}

// read builds an envelope from headers and data. It decodes an answer even if the content type is
// invalid.
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
		e.TraceState = "" // tracestate has no meaning without traceparent
	}
	if err == nil && !e.IsAnswer() {
		err = unusable
	}
	return e, err
}

// setOn sets the attribute that corresponds to the header.
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

// known reports whether Decode uses a header. Unknown headers may be repeated and may have any
// value.
func known(name string) bool {
	switch name {
	case transport.AttrTraceParent, transport.AttrTraceState, "content-type", "nats-msg-id":
		return true
	}
	return strings.HasPrefix(name, "ce-")
}
