package natsbus

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/percent"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

// Headers of a dead letter beside those of an envelope. The headers of the message that
// it holds are kept as one block, because a client may send names that no header of ours
// could have.
const (
	headerOrigin   = "dead-stream"         // commands, events or lifecycle
	headerSubject  = "dead-subject"        // where the message came, percent-encoded
	headerSequence = "dead-sequence"       // of the message in its stream
	headerBlock    = transport.HeaderBlock // the original's headers, percent-encoded; absent if it has none
	headerBlockCut = "dead-header-cut"     // only if the block was too long to be kept whole: how many bytes it had
	headerCut      = "dead-data-bytes"     // only if data was too long to be kept whole: how many bytes it had

	maxReason = 2048                    // bytes of a reason
	maxBlock  = transport.MaxAttributes // bytes of a header block, before they are encoded: whatever a message of ours may have
)

// deadEntry is a message on its way to the dead letters.
type deadEntry struct {
	delivery *delivery
	msg      *nats.Msg // if it came in a bundle, as if it had come alone
	index    int       // in the bundle, from 1; 0: it did come alone
	block    string    // its headers, if they cannot be read
	reason   string
	word     string // what ends the delivery when it is stored

	tries    int       // that are left
	due      time.Time // of the next
	deadline time.Time // of the last
}

// deadEntry is the delivery on its way to the dead letters.
func (d *delivery) deadEntry(reason string) *deadEntry {
	l := &deadEntry{delivery: d, msg: d.msg, reason: reason, word: term}
	if d.group != nil {
		l.index = d.index
		l.msg, l.block = d.message.Alone(d.msg.Reply)
	}
	return l
}

func (l *deadEntry) stream() transport.Stream { return l.delivery.source.sub.Stream }

// participant is whose message it is, as the subject says for which the server vouches.
func (l *deadEntry) participant() string {
	subjects := l.delivery.source.bus.subjects
	return lastToken(subjects.DeadLetter(l.stream(), subjects.Participant(l.delivery.msg.Subject)))
}

// size is about how many bytes it takes in memory and in the stream.
func (l *deadEntry) size() int { return len(l.msg.Data) + len(l.reason) + len(l.block) + 1024 }

// deadLetter wraps a message: an envelope of its own with the reason, the origin, and
// the original's bytes and headers. asks reports whether the server may be asked for
// headers that the client has dropped.
func (b *Bus) deadLetter(ctx context.Context, l *deadEntry, asks *bool) *nats.Msg {
	stream := l.stream()
	reason := l.reason
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	sequence := streamSequence(l.msg.Reply)
	index := ""
	if l.index > 0 {
		index = fmt.Sprintf("-%d", l.index)
	}
	m := wire.Encode(&transport.Envelope{
		Subject: b.subjects.DeadLetter(stream, l.participant()),
		DedupID: fmt.Sprintf("dead-%s-%d-%d%s", stream, sequence, storedAt(l.msg.Reply), index), // moved twice, kept once
		ID:      fmt.Sprintf("%s/%d%s", b.names[stream], sequence, index),
		Source:  "/amends/bus",
		Type:    transport.TypeDead,
		Time:    time.Now(),
		Reason:  reason,
		Data:    l.msg.Data,
	})
	m.Header.Set(headerOrigin, string(stream))
	m.Header.Set(headerSubject, percent.Encode(l.msg.Subject))
	m.Header.Set(headerSequence, strconv.FormatUint(sequence, 10))
	if block := b.blockOf(ctx, l, asks); block != "" {
		m.Header.Set(headerBlock, percent.Encode(block[:min(len(block), maxBlock)]))
		if len(block) > maxBlock {
			m.Header.Set(headerBlockCut, strconv.Itoa(len(block)))
		}
	}
	if limit := int(b.nc.MaxPayload()); limit > 0 && m.Size() > limit {
		// Only with a stream that takes messages of any length: see headroom.
		m.Header.Set(headerCut, strconv.Itoa(len(m.Data)))
		m.Data = m.Data[:max(len(m.Data)-(m.Size()-limit), 0)]
	}
	return m
}

// blockOf is the header block of a message; "" if it has none, or nobody can tell.
func (b *Bus) blockOf(ctx context.Context, l *deadEntry, asks *bool) string {
	switch {
	case len(l.msg.Header) > 0:
		return writeBlock(l.msg.Header)
	case l.index > 0 || !*asks:
		return l.block
	}
	block, err := b.storedBlock(ctx, l)
	*asks = err == nil // a server that does not answer now is not asked for the next one
	return block
}

// writeBlock is a header block as a client would send it, its names in order.
func writeBlock(header nats.Header) string {
	var b strings.Builder
	b.WriteString(wire.Prefix)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			b.WriteString(name)
			b.WriteString(": ")
			b.WriteString(value)
			b.WriteString("\r\n")
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

// storedBlock asks the server for the headers of a message that came without any: the
// client drops a block that it cannot parse.
func (b *Bus) storedBlock(ctx context.Context, l *deadEntry) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	reply, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+b.names[l.stream()],
		fmt.Appendf(nil, `{"seq":%d}`, streamSequence(l.msg.Reply)))
	if err != nil {
		return "", err
	}
	var stored struct {
		Message struct {
			Headers []byte `json:"hdrs"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &stored); err != nil {
		return "", nil // it is gone, or something that is not known here
	}
	return string(stored.Message.Headers), nil
}

// readBlock reads the headers of a block as far as they can be read, and reports whether
// that is all of it.
func readBlock(block string) (header map[string][]string, whole bool) {
	header = map[string][]string{}
	rest, whole := strings.CutPrefix(block, wire.Prefix)
	if !whole {
		_, rest, _ = strings.Cut(block, "\r\n") // a status line with more in it, or none
	}
	for {
		line, more, ended := strings.Cut(rest, "\r\n")
		if !ended {
			return header, false // cut, or without the empty line
		}
		if line == "" {
			return header, whole && more == ""
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			whole = false
		} else {
			header[name] = append(header[name], wire.Trim(value))
		}
		rest = more
	}
}

// excerpt is the beginning of data as a log may show it.
func excerpt(data []byte) string {
	const most = 256
	var b strings.Builder
	for _, r := range string(data[:min(len(data), most)]) {
		if !strconv.IsPrint(r) {
			r = '.'
		}
		b.WriteRune(r)
	}
	return b.String()
}
