package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/pool"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

// Bounds of a bundle.
const (
	// Most is the maximum number of commands or answers in a bundle.
	Most = 64
	// MaxBytes bounds the data of a bundle of several messages, in bytes. A message that would
	// exceed it begins a new bundle.
	MaxBytes = 256 << 10
)

// ContentType is the content type of a bundle's data.
const ContentType = "application/vnd.amends.bundle"

// Message is one message in a bundle.
type Message struct {
	Subject string
	Header  string // including the status line and the final empty line
	Data    []byte
}

// Envelope decodes the message in the same way as a single message.
func (m *Message) Envelope() (transport.Envelope, error) {
	return wire.DecodeBlock(m.Subject, m.Header, m.Data)
}

// Alone returns the message in the form of a single message. If the message's headers cannot be
// parsed, it returns them as block.
func (m *Message) Alone(reply string) (alone *nats.Msg, block string) {
	alone = &nats.Msg{Subject: m.Subject, Reply: reply, Data: m.Data}
	header, err := nats.DecodeHeadersMsg([]byte(m.Header))
	if err != nil {
		return alone, m.Header
	}
	alone.Header = header
	return alone, ""
}

// Writer encodes a bundle into a reusable buffer.
type Writer struct {
	bytes  []byte
	header []byte
}

var writers = pool.New(func() *Writer { return new(Writer) }, func(w *Writer) { w.bytes = w.bytes[:0] })

// NewWriter returns an empty Writer. The caller must release it.
func NewWriter() *Writer { return writers.Get() }

// Release returns the Writer to the pool. Neither the Writer nor its bytes may be used afterwards.
func (w *Writer) Release() { writers.Put(w) }

// Bytes returns the encoded bundle.
func (w *Writer) Bytes() []byte { return w.bytes }

// oneLine removes line breaks from header values, as the NATS client does.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// Add appends an envelope to the bundle.
func (w *Writer) Add(e *transport.Envelope) {
	w.header = append(w.header[:0], wire.Prefix...)
	h := w.header
	wire.Headers(e, func(name, value string) {
		h = append(h, name...)
		h = append(h, ": "...)
		if !strings.HasPrefix(name, "ce-") { // other headers are not percent-encoded
			value = oneLine.Replace(value)
		}
		h = append(h, value...)
		h = append(h, "\r\n"...)
	})
	h = append(h, "\r\n"...)
	w.header = h

	b := w.bytes
	b = append(b, "HPUB "...)
	b = append(b, e.Subject...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(h)), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(h)+len(e.Data)), 10)
	b = append(b, "\r\n"...)
	b = append(b, h...)
	b = append(b, e.Data...)
	b = append(b, "\r\n"...)
	w.bytes = b
}

// Decode decodes a bundle of n messages. The messages share no memory with data: a result may be
// kept for months and would keep the whole bundle in memory. An error contains the position of the
// invalid input.
func Decode(data []byte, n int) ([]Message, error) {
	if n < 1 || n > Most {
		return nil, fmt.Errorf("a bundle has 1 to %d messages, but the subject of this one says %d", Most, n)
	}
	messages := make([]Message, 0, n)
	for rest := data; len(rest) > 0; {
		if len(messages) == n {
			return nil, fmt.Errorf("the bundle has more messages than its subject says (%d)", n)
		}
		m, after, err := decodeOne(rest)
		if err != nil {
			return nil, fmt.Errorf("message %d of the bundle, at byte %d: %w", len(messages)+1, len(data)-len(rest), err)
		}
		messages = append(messages, m)
		rest = after
	}
	if len(messages) != n {
		return nil, fmt.Errorf("the bundle has %s, but its subject says %d", plural.Of(len(messages), "message", "messages"), n)
	}
	return messages, nil
}

var errMessage = errors.New("expected HPUB, the subject, the size of the headers and the total size, separated by single spaces and ended by CR LF; then the headers, the data and CR LF")

func decodeOne(data []byte) (m Message, rest []byte, err error) {
	line, rest, ok := bytes.Cut(data, []byte("\r\n"))
	line, ours := bytes.CutPrefix(line, []byte("HPUB "))
	subject, sizes, _ := bytes.Cut(line, []byte(" "))
	first, second, _ := bytes.Cut(sizes, []byte(" "))
	if !ok || !ours {
		return m, nil, errMessage
	}
	header, ok1 := contract.ParseNumber(string(first), 0)
	total, ok2 := contract.ParseNumber(string(second), 0)
	if !ok1 || !ok2 || header > total || total > len(rest)-2 || string(rest[total:total+2]) != "\r\n" {
		return m, nil, errMessage
	}
	text := string(data[:len(data)-len(rest)+header]) // one string shared by all attributes
	m.Subject = text[len("HPUB ") : len("HPUB ")+len(subject)]
	m.Header = text[len(text)-header:]
	m.Data = bytes.Clone(rest[header:total])
	return m, rest[total+2:], nil
}
