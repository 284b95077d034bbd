package natsbus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/percent"
)

// Headers of a dead letter beside those of an envelope. The headers of the message
// that it holds are kept under their own names behind originalPrefix.
const (
	headerOrigin   = "dead-stream"  // commands, events or lifecycle
	headerSubject  = "dead-subject" // where the message came
	headerSequence = "dead-sequence"
	headerBlock    = "dead-header-block" // percent-encoded, if the original's headers could not be read at all
	headerCut      = "dead-data-bytes"   // only if data was too long to be kept whole: how long it was
	originalPrefix = "original-"

	buryTimeout = 10 * time.Second
	maxReason   = 2048 // bytes
)

// againAfter is when a message comes again that could not be moved.
var againAfter = 5 * time.Second

// letter is a message on its way to the dead letters.
type letter struct {
	delivery *delivery
	source   *source
	msg      *nats.Msg // if it came in a bundle, as if it had come alone
	place    int       // in the bundle, from 1; 0: it did come alone
	block    string    // its headers, if they cannot be read
	reason   string
}

// bury moves messages to the dead letters. One that could not be moved comes again
// later: nothing is lost.
func (b *Bus) bury(ctx context.Context, letters []*letter) {
	ctx, cancel := context.WithTimeout(ctx, buryTimeout)
	defer cancel()
	for i, err := range b.storeLetters(ctx, letters) {
		d, subject := letters[i].delivery, letters[i].msg.Subject
		if err != nil {
			b.config.Logger.Warn("a message could not be moved to the dead letters; it comes again",
				"subject", subject, "reason", letters[i].reason, "error", err)
			d.Nak(againAfter)
			continue
		}
		b.config.Logger.Warn("a message was moved to the dead letters", "subject", subject, "reason", letters[i].reason)
		if b.config.OnMalformed != nil {
			b.config.OnMalformed(letters[i].source.sub.Stream, letters[i].reason)
		}
		crashpoint.Here("natsbus: malformed message moved")
		d.answer(term)
	}
}

// storeLetters publishes letters and returns one error, or nil, each.
func (b *Bus) storeLetters(ctx context.Context, letters []*letter) []error {
	messages := make([]*nats.Msg, len(letters))
	errs := make([]error, len(letters))
	for i, l := range letters {
		messages[i] = b.deadLetter(ctx, l)
	}
	crashpoint.Here("natsbus: before a dead letter")
	b.send(ctx, messages, errs)
	b.retryMissing(ctx, messages, errs)
	for _, err := range errs {
		if err != nil {
			b.stats.deadFailed.Add(1)
		} else {
			b.stats.deadLettered.Add(1)
		}
	}
	return errs
}

// deadLetter wraps a message: an envelope of its own with the reason, the origin,
// and the original's bytes and headers.
func (b *Bus) deadLetter(ctx context.Context, l *letter) *nats.Msg {
	stream := l.source.sub.Stream
	reason := l.reason
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	sequence := streamSequence(l.msg.Reply)
	place := ""
	if l.place > 0 {
		place = fmt.Sprintf("-%d", l.place)
	}
	m := encode(&transport.Envelope{
		Subject: b.subjects.DeadLetter(stream),
		DedupID: fmt.Sprintf("dead-%s-%d-%d%s", stream, sequence, storedAt(l.msg.Reply), place), // moved twice, kept once
		ID:      fmt.Sprintf("%s/%d%s", b.names[stream], sequence, place),
		Source:  "/amends/bus",
		Type:    transport.TypeDead,
		Time:    time.Now(),
		Reason:  reason,
		Data:    l.msg.Data,
	})
	m.Header.Set(headerOrigin, string(stream))
	m.Header.Set(headerSubject, l.msg.Subject)
	m.Header.Set(headerSequence, fmt.Sprint(sequence))
	for name, values := range l.msg.Header {
		m.Header[originalPrefix+name] = values
	}
	if block := b.headerBlock(ctx, l); block != "" {
		m.Header.Set(headerBlock, percent.Encode(block))
	}
	if limit := int(b.nc.MaxPayload()); limit > 0 && m.Size() > limit {
		// Only with a stream that takes messages of any length: see headroom.
		m.Header.Set(headerCut, fmt.Sprint(len(m.Data)))
		m.Data = m.Data[:max(len(m.Data)-(m.Size()-limit), 0)]
	}
	return m
}

// maxBlock bounds what is kept of headers that cannot be read.
const maxBlock = 4 << 10

// headerBlock asks the server for the headers of a message that came without any:
// the client drops a block that it cannot parse. "": there are none, or the server
// does not say.
func (b *Bus) headerBlock(ctx context.Context, l *letter) string {
	if l.place > 0 || len(l.msg.Header) > 0 || b.config.Provision == Trust {
		return l.block[:min(len(l.block), maxBlock)]
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	reply, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+b.names[l.source.sub.Stream],
		fmt.Appendf(nil, `{"seq":%d}`, streamSequence(l.msg.Reply)))
	if err != nil {
		return ""
	}
	var stored struct {
		Message struct {
			Headers []byte `json:"hdrs"`
		} `json:"message"`
	}
	if json.Unmarshal(reply.Data, &stored) != nil {
		return ""
	}
	return string(stored.Message.Headers[:min(len(stored.Message.Headers), maxBlock)])
}
