package natsbus

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/percent"
)

// A bundle is one message that carries several: each as a client would publish it,
//
//	HPUB <subject> <bytes of headers> <bytes of headers and data>\r\n
//	NATS/1.0\r\n<name>: <value>\r\n…\r\n
//	<data>\r\n
//
// one behind the other (docs/WIRE.md; docs/adr/0018-bundles.md says why).
const (
	bundleType   = "application/vnd.amends.bundle"
	bundleMost   = 64        // commands or answers in one
	bundleBytes  = 256 << 10 // a bundle takes no further message when it has as many
	headerPrefix = "NATS/1.0\r\n"
)

// metaBundle is where a consumer of commands, and the stream of events, says in its
// metadata how many messages its readers take in a bundle.
const metaBundle = "amends-bundle"

// frame is one message in a bundle.
type frame struct {
	subject string
	header  string // with the status line and the empty line at the end
	data    []byte
}

// packet is a buffer in which a bundle is written, used again and again.
type packet struct {
	bytes  []byte
	header []byte
}

// oneLine keeps a value that is passed on as it is from ending its header, as the
// NATS client does.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

var packets = sync.Pool{New: func() any { return new(packet) }}

func (p *packet) release() {
	p.bytes = p.bytes[:0]
	packets.Put(p)
}

// add writes an envelope behind what is there.
func (p *packet) add(e *transport.Envelope) {
	h := p.header[:0]
	h = append(h, headerPrefix...)
	set := func(name, value string) {
		h = append(h, name...)
		h = append(h, ": "...)
		h = append(h, value...)
		h = append(h, "\r\n"...)
	}
	e.Attributes(func(name, value string) {
		if strings.HasPrefix(name, "ce-") {
			value = percent.Encode(value)
		} else {
			value = oneLine.Replace(value)
		}
		set(name, value)
	})
	if e.DedupID != "" {
		set(jetstream.MsgIDHeader, oneLine.Replace(e.DedupID))
	}
	h = append(h, "\r\n"...)
	p.header = h

	b := p.bytes
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
	p.bytes = b
}

// unpack reads a bundle of n messages. Frames keep nothing of data: a result may be
// remembered for months, and would keep everything that it travelled with. An error
// says where it is none.
func unpack(data []byte, n int) ([]frame, error) {
	if n < 1 || n > bundleMost {
		return nil, fmt.Errorf("a bundle has 1 to %d messages, and this one says %d in its subject", bundleMost, n)
	}
	frames := make([]frame, 0, n)
	for rest := data; len(rest) > 0; {
		if len(frames) == n {
			return nil, fmt.Errorf("the bundle has more messages than the %d that its subject says", n)
		}
		f, after, err := unpackOne(rest)
		if err != nil {
			return nil, fmt.Errorf("message %d of the bundle, at byte %d: %w", len(frames)+1, len(data)-len(rest), err)
		}
		frames = append(frames, f)
		rest = after
	}
	if len(frames) != n {
		return nil, fmt.Errorf("the bundle has %s, and its subject says %d", plural.Of(len(frames), "message", "messages"), n)
	}
	return frames, nil
}

var errFrame = errors.New("HPUB, subject, bytes of headers and bytes in all are expected, separated by single spaces and ended by CR LF; then the headers, the data and CR LF")

func unpackOne(data []byte) (f frame, rest []byte, err error) {
	line, rest, ok := bytes.Cut(data, []byte("\r\n"))
	line, ours := bytes.CutPrefix(line, []byte("HPUB "))
	subject, sizes, _ := bytes.Cut(line, []byte(" "))
	first, second, _ := bytes.Cut(sizes, []byte(" "))
	if !ok || !ours {
		return f, nil, errFrame
	}
	header, ok1 := contract.ParseNumber(string(first), 0)
	total, ok2 := contract.ParseNumber(string(second), 0)
	if !ok1 || !ok2 || header > total || total > len(rest)-2 || string(rest[total:total+2]) != "\r\n" {
		return f, nil, errFrame
	}
	text := string(data[:len(data)-len(rest)+header]) // one for all of the attributes
	f.subject = text[len("HPUB ") : len("HPUB ")+len(subject)]
	f.header = text[len(text)-header:]
	f.data = bytes.Clone(rest[header:total])
	return f, rest[total+2:], nil
}

// trim takes the white space off that may be around a header's value: nearly always
// one space before it.
func trim(value string) string {
	value = strings.TrimPrefix(value, " ")
	if n := len(value); n == 0 || value[0] > ' ' && value[n-1] > ' ' {
		return value
	}
	return strings.Trim(value, " \t")
}

// pairs appends the headers of a frame to list.
func (f *frame) pairs(list []pair) ([]pair, error) {
	rest, ok := strings.CutPrefix(f.header, headerPrefix)
	if !ok || !strings.HasSuffix(rest, "\r\n") {
		return list, errors.New("its headers begin with NATS/1.0 and end with an empty line")
	}
	for n := 2; ; n++ {
		line, more, _ := strings.Cut(rest, "\r\n")
		if line == "" && more == "" {
			return list, nil
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || key == "" {
			return list, fmt.Errorf("line %d of its headers is no name, colon and value", n) // it may be anything
		}
		list = join(list, key, trim(value))
		rest = more
	}
}
