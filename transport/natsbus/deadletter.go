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

// Headers of a dead letter besides an envelope's. The original message's headers are kept as one
// block, because a client may have sent names that are not valid in a header of ours.
const (
	headerOrigin   = "dead-stream"         // commands, events or lifecycle
	headerSubject  = "dead-subject"        // the original's subject, percent-encoded
	headerSequence = "dead-sequence"       // the original's sequence in its stream
	headerBlock    = transport.HeaderBlock // the original's headers, percent-encoded; absent if there were none
	headerBlockCut = "dead-header-cut"     // original size of the block in bytes, if it was truncated
	headerCut      = "dead-data-bytes"     // original size of the data in bytes, if it was truncated

	maxReason = 2048                    // maximum bytes of a reason
	maxBlock  = transport.MaxAttributes // maximum bytes of a header block before encoding
)

// deadEntry is a message that is being dead-lettered.
type deadEntry struct {
	delivery *delivery
	msg      *nats.Msg // the message; for one in a bundle, as if it had come alone
	index    int       // in the bundle, from 1; 0: not in a bundle
	block    string    // its headers, if they cannot be parsed
	reason   string
	word     string // acknowledgement to send once it is stored

	tries    int       // remaining tries
	due      time.Time // of the next try
	deadline time.Time // of the last try
}

// deadEntry returns the delivery's entry for the dead letters.
func (d *delivery) deadEntry(reason string) *deadEntry {
	l := &deadEntry{delivery: d, msg: d.msg, reason: reason, word: term}
	if d.group != nil {
		l.index = d.index
		l.msg, l.block = d.message.Alone(d.msg.Reply)
	}
	return l
}

func (l *deadEntry) stream() transport.Stream { return l.delivery.source.sub.Stream }

// participant returns the sender or recipient according to the subject, which the server has
// checked.
func (l *deadEntry) participant() string {
	subjects := l.delivery.source.bus.subjects
	return lastToken(subjects.DeadLetter(l.stream(), subjects.Participant(l.delivery.msg.Subject)))
}

// size returns about how many bytes the entry takes in memory and in the stream.
func (l *deadEntry) size() int { return len(l.msg.Data) + len(l.reason) + len(l.block) + 1024 }

// deadLetter returns the dead letter of a message: an envelope with the reason, the origin, and the
// original's bytes and headers. If asks is set, it asks the server for headers that the client has
// dropped; it is cleared if the server does not answer.
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
		DedupID: fmt.Sprintf("dead-%s-%d-%d%s", stream, sequence, storedAt(l.msg.Reply), index), // stable: a retry is deduplicated
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
		// Only if the stream's message size is unlimited; see headroom.
		m.Header.Set(headerCut, strconv.Itoa(len(m.Data)))
		m.Data = m.Data[:max(len(m.Data)-(m.Size()-limit), 0)]
	}
	return m
}

// blockOf returns a message's header block; "" if it has none or it is unknown.
func (b *Bus) blockOf(ctx context.Context, l *deadEntry, asks *bool) string {
	switch {
	case len(l.msg.Header) > 0:
		return writeBlock(l.msg.Header)
	case l.index > 0 || !*asks:
		return l.block
	}
	block, err := b.storedBlock(ctx, l)
	*asks = err == nil // if the server does not answer, later entries do not ask it
	return block
}

// writeBlock returns a header block as a client would send it, with sorted names.
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

// storedBlock asks the server for the headers of a message that arrived without any, because the
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
		return "", nil // the message is gone, or the reply is unknown
	}
	return string(stored.Message.Headers), nil
}

// readBlock parses a header block as far as possible, and reports whether it is complete.
func readBlock(block string) (header map[string][]string, whole bool) {
	header = map[string][]string{}
	rest, whole := strings.CutPrefix(block, wire.Prefix)
	if !whole {
		_, rest, _ = strings.Cut(block, "\r\n") // a status line with additional text, or none
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

// excerpt returns the beginning of data for the log.
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
