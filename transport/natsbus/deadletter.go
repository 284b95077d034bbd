package natsbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/percent"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

// Headers of a dead letter in addition to the headers of an envelope. All headers of the original
// message are kept as one block, because a client may have sent names that are invalid as header
// names.
const (
	headerOrigin   = "dead-stream"         // the original's stream: commands, events or lifecycle
	headerSubject  = "dead-subject"        // the original's subject, percent-encoded
	headerSequence = "dead-sequence"       // the original's sequence in its stream
	headerBlock    = transport.HeaderBlock // the original's headers, percent-encoded; not set if the original had none
	headerBlockCut = "dead-header-cut"     // original size of the block in bytes; only set if it was truncated
	headerCut      = "dead-data-bytes"     // original size of the data in bytes; only set if it was truncated

	maxReason = 2048                    // maximum bytes of a reason
	maxBlock  = transport.MaxAttributes // maximum bytes of a header block before encoding
)

// deadEntry is a message in the process of being dead-lettered.
type deadEntry struct {
	delivery *delivery
	msg      *nats.Msg // the message; a message of a bundle looks as if it had been sent alone
	index    int       // position in the bundle, from 1; 0 if the message was sent alone
	block    string    // the message's header block, if it cannot be parsed
	reason   string
	word     string // acknowledgement to send after the entry is stored

	tries    int       // remaining number of tries
	due      time.Time // time of the next try
	deadline time.Time // time after which there is no further try
}

// deadEntry returns an entry for the delivery's message.
func (d *delivery) deadEntry(reason string) *deadEntry {
	l := &deadEntry{delivery: d, msg: d.msg, reason: reason, word: term}
	if d.group != nil {
		l.index = d.index
		l.msg, l.block = d.message.Alone(d.msg.Reply)
	}
	return l
}

func (l *deadEntry) stream() transport.Stream { return l.delivery.source.sub.Stream }

// participant returns the sender or recipient that the subject names. The server has checked the
// subject.
func (l *deadEntry) participant() string {
	subjects := l.delivery.source.bus.subjects
	return lastToken(subjects.DeadLetter(l.stream(), subjects.Participant(l.delivery.msg.Subject)))
}

// size returns the approximate number of bytes that the entry takes in memory and in the stream.
func (l *deadEntry) size() int { return len(l.msg.Data) + len(l.reason) + len(l.block) + 1024 }

// deadLetter returns the dead letter of a message: an envelope with the reason, the origin, and the
// original's bytes and headers. If *asks is true, deadLetter asks the server for headers that the
// client library has dropped. It sets *asks to false if the server does not reply.
func (b *Bus) deadLetter(ctx context.Context, l *deadEntry, asks *bool) *nats.Msg {
	stream := l.stream()
	reason := contract.Cut(l.reason, maxReason)
	sequence := streamSequence(l.msg.Reply)
	index := ""
	if l.index > 0 {
		index = fmt.Sprintf("-%d", l.index)
	}
	m := wire.Encode(&transport.Envelope{
		Subject: b.subjects.DeadLetter(stream, l.participant()),
		DedupID: fmt.Sprintf("dead-%s-%d-%d%s", stream, sequence, storedAt(l.msg.Reply), index), // the same for every retry
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
		// Reached only if the stream's message size is unlimited; see headroom.
		m.Header.Set(headerCut, strconv.Itoa(len(m.Data)))
		m.Data = m.Data[:max(len(m.Data)-(m.Size()-limit), 0)]
	}
	return m
}

// blockOf returns a message's header block. It returns "" if the message has no headers or the
// block is unknown.
func (b *Bus) blockOf(ctx context.Context, l *deadEntry, asks *bool) string {
	switch {
	case len(l.msg.Header) > 0:
		return writeBlock(l.msg.Header)
	case l.index > 0 || !*asks:
		return l.block
	}
	block, err := b.storedBlock(ctx, l)
	*asks = err == nil // if the server does not reply, do not ask it about later entries
	return block
}

// writeBlock returns a header block in the form that a client sends, with sorted names.
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

// storedBlock asks the server for the headers of a message that arrived without headers. The client
// library drops a header block that it cannot parse.
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
		return "", nil // the message was removed, or the reply is not understood
	}
	return string(stored.Message.Headers), nil
}

// readBlock parses a header block as far as possible. whole reports whether the block is complete.
func readBlock(block string) (header map[string][]string, whole bool) {
	header = map[string][]string{}
	rest, whole := strings.CutPrefix(block, wire.Prefix)
	if !whole {
		_, rest, _ = strings.Cut(block, "\r\n") // drop the status line and any text on it
	}
	for {
		line, more, ended := strings.Cut(rest, "\r\n")
		if !ended {
			return header, false // truncated, or without the final empty line
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

// excerpt returns the beginning of the data for the log.
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

// storeLetters publishes entries and returns one error, or nil, for each. Unlike Publish, it does
// not evaluate the connection: the server never answers a publish for which the bus has no
// permission, although the connection works.
func (b *Bus) storeLetters(ctx context.Context, letters []*deadEntry) []error {
	futures := make([]jetstream.PubAckFuture, len(letters))
	errs := make([]error, len(letters))
	asks := b.config.Provision == ProvisionCreate // only a coordinator has the permission to ask
	bytes := 0
	for i, l := range letters {
		m := b.deadLetter(ctx, l, &asks)
		bytes += m.Size()
		crashpoint.Here(crashpoint.BeforeDeadLetter)
		futures[i], errs[i] = b.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0), jetstream.WithStallWait(b.config.PublishTimeout))
	}
	missing := false
	for i, future := range futures {
		if errs[i] != nil {
			continue
		}
		select {
		case ack := <-future.Ok():
			b.accepted(future.Msg().Subject, ack)
		case errs[i] = <-future.Err():
			missing = missing || errors.Is(errs[i], jetstream.ErrNoStreamResponse) || errors.Is(errs[i], nats.ErrNoResponders)
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
	}
	if missing && b.config.Provision != ProvisionAsk {
		_ = b.look(ctx) // recreate the stream for the next try
	}
	b.rings.stored(ctx, bytes)
	return errs
}

// ListDeadLetters implements transport.DeadLetterOffice. It sends one request for each dead letter.
func (b *Bus) ListDeadLetters(ctx context.Context, after uint64, limit int) ([]transport.DeadLetter, error) {
	stream, err := b.deadStream(ctx)
	if err != nil {
		return nil, err
	}
	var list []transport.DeadLetter
	for len(list) < limit {
		raw, err := stream.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(b.subjects.All(transport.StreamDeadLetters)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return list, nil
		}
		if err != nil {
			return list, fmt.Errorf("list dead letters after %d: %w", after, err)
		}
		after = raw.Sequence
		list = append(list, openLetter(raw))
	}
	return list, nil
}

// ReplayDeadLetter implements transport.DeadLetterOffice.
func (b *Bus) ReplayDeadLetter(ctx context.Context, sequence uint64) error {
	stream, raw, err := b.findLetter(ctx, sequence)
	if err != nil {
		return fmt.Errorf("replay dead letter %d: %w", sequence, err)
	}
	letter := openLetter(raw)
	if letter.Subject == "" {
		return fmt.Errorf("replay dead letter %d: its headers name no original subject, so it was not written by Amends and cannot be replayed", sequence)
	}
	if err := b.admitLetter(raw.Subject, &letter); err != nil {
		return fmt.Errorf("replay dead letter %d: %w", sequence, err)
	}
	m, err := originalOf(raw, &letter)
	if err != nil {
		return fmt.Errorf("replay dead letter %d: %w", sequence, err)
	}
	id := fmt.Sprintf("replay-%d-%d", sequence, raw.Time.UnixNano()) // stable, so that a retry is deduplicated
	if _, err := b.js.PublishMsg(ctx, m, jetstream.WithMsgID(id)); err != nil {
		return fmt.Errorf("replay dead letter %d on %s: %w", sequence, letter.Subject, b.translate(err))
	}
	crashpoint.Here(crashpoint.DeadLetterReplayed)
	if err := stream.DeleteMsg(ctx, sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("replay dead letter %d: it was sent, but could not be removed: %w", sequence, err)
	}
	return nil
}

// originalOf returns the message that a dead letter contains, without headers for the server and
// headers of dead letters. It returns an error if the message cannot be replayed.
func originalOf(raw *jetstream.RawStreamMsg, letter *transport.DeadLetter) (*nats.Msg, error) {
	if size := raw.Header.Get(headerCut); size != "" {
		return nil, fmt.Errorf("only %d of its %s bytes were kept, because it was too long; publish the whole message again", len(letter.Data), size)
	}
	if size := raw.Header.Get(headerBlockCut); size != "" {
		return nil, fmt.Errorf("only the first %d of its %s bytes of headers were kept; publish the message again with fewer headers", maxBlock, size)
	}
	m := &nats.Msg{Subject: letter.Subject, Data: letter.Data}
	encoded := raw.Header.Get(headerBlock)
	if encoded == "" {
		return m, nil
	}
	block, ok := percent.Decode(encoded)
	header, whole := readBlock(block)
	if !ok || !whole {
		return nil, errors.New("its headers cannot be read, so a replay would fail again; publish the message again with valid headers")
	}
	m.Header = nats.Header{}
	for name, values := range header {
		if !control(name) && sendable(name) {
			m.Header[name] = values
		}
	}
	return m, nil
}

// control reports whether a header belongs to dead letters, or is set by or addressed to the
// server, such as a deduplication id.
func control(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "nats-") || strings.HasPrefix(name, "dead-") || name == "status" || name == "description"
}

// sendable reports whether a header name is an HTTP token. Clients can send only tokens. Other
// headers are never read, since all names of the contract are tokens.
func sendable(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// admitLetter returns an error unless a dead letter's headers agree with its subject, which the
// server has checked. Otherwise a client that may only write dead letters of commands could forge a
// dead letter of an answer, and the replay would publish that answer in the name of another
// service.
func (b *Bus) admitLetter(subject string, letter *transport.DeadLetter) error {
	origin, err := b.subjects.StreamOf(letter.Subject)
	if err != nil {
		return fmt.Errorf("its headers name the original subject %s, which belongs to no stream of this prefix", letter.Subject)
	}
	if want := b.subjects.DeadLetter(origin, b.subjects.Participant(letter.Subject)); subject != want || letter.Stream != origin {
		return fmt.Errorf("its headers name the original subject %s, but it is stored on %s instead of %s: its headers are wrong or forged; find out who published it", letter.Subject, subject, want)
	}
	return nil
}

// DiscardDeadLetter implements transport.DeadLetterOffice.
func (b *Bus) DiscardDeadLetter(ctx context.Context, sequence uint64) error {
	stream, _, err := b.findLetter(ctx, sequence)
	if err == nil {
		err = stream.DeleteMsg(ctx, sequence)
	}
	if err != nil {
		return fmt.Errorf("discard dead letter %d: %w", sequence, err)
	}
	return nil
}

// purgePage bounds the number of dead letters that one call of PurgeDeadLetters examines.
const purgePage = 2000

// PurgeDeadLetters implements transport.DeadLetterOffice. If the subject suffices as the filter,
// the server purges in one request. Otherwise each dead letter is examined.
func (b *Bus) PurgeDeadLetters(ctx context.Context, which transport.DeadLetterFilter, dry bool) (matched int, next uint64, err error) {
	subject := b.subjects.DeadLetters(which.Stream, which.Participant)
	if !dry && which.Reason == "" && which.Before.IsZero() && which.After == 0 {
		matched, err = b.purge(ctx, subject, 0)
		return matched, 0, err
	}
	stream, err := b.deadStream(ctx)
	if err != nil {
		return 0, 0, err
	}
	var found []uint64
	seen := 0
	err = b.scan(ctx, subject, which.After+1, func(l *scanned) bool {
		letter := openLetter(&jetstream.RawStreamMsg{Sequence: l.sequence, Header: l.header, Time: l.stored})
		late := !which.Before.IsZero() && !letter.Time.Before(which.Before) // and so are all later ones
		if !late && strings.Contains(letter.Reason, which.Reason) {
			found = append(found, l.sequence)
		}
		if seen++; seen == purgePage {
			next = l.sequence
		}
		return !late && next == 0
	})
	for _, sequence := range found {
		if err != nil || dry {
			break
		}
		if err = stream.DeleteMsg(ctx, sequence); errors.Is(err, jetstream.ErrMsgNotFound) {
			err = nil
		}
		matched++
	}
	if dry {
		matched = len(found)
	}
	if err != nil {
		return matched, 0, fmt.Errorf("purge dead letters: %w", err)
	}
	return matched, next, nil
}

// purge deletes the messages of a subject from the dead-letter stream up to a sequence. It returns
// the number of deleted messages.
func (b *Bus) purge(ctx context.Context, subject string, upTo uint64) (int, error) {
	request := map[string]any{"filter": subject}
	if upTo > 0 {
		request["seq"] = upTo + 1
	}
	body, err := json.Marshal(request)
	if err != nil {
		return 0, err
	}
	reply, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.PURGE."+b.names[transport.StreamDeadLetters], body)
	if err != nil {
		return 0, fmt.Errorf("purge %s: %w", subject, err)
	}
	var said struct {
		Error  *jetstream.APIError `json:"error"`
		Purged int                 `json:"purged"`
	}
	if err := json.Unmarshal(reply.Data, &said); err != nil {
		return 0, fmt.Errorf("purge %s: %w", subject, err)
	}
	if said.Error != nil {
		return 0, fmt.Errorf("purge %s: %w", subject, said.Error)
	}
	return said.Purged, nil
}

func (b *Bus) deadStream(ctx context.Context) (jetstream.Stream, error) {
	name := b.names[transport.StreamDeadLetters]
	stream, err := b.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w%s", name, err, hint(err))
	}
	return stream, nil
}

func (b *Bus) findLetter(ctx context.Context, sequence uint64) (jetstream.Stream, *jetstream.RawStreamMsg, error) {
	stream, err := b.deadStream(ctx)
	if err != nil {
		return nil, nil, err
	}
	if sequence == 0 {
		return nil, nil, transport.ErrNoDeadLetter
	}
	raw, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil, transport.ErrNoDeadLetter
	}
	return stream, raw, err
}

// openLetter decodes a dead letter that deadLetter has encoded.
func openLetter(raw *jetstream.RawStreamMsg) transport.DeadLetter {
	letter := transport.DeadLetter{
		Sequence: raw.Sequence,
		Stream:   transport.Stream(raw.Header.Get(headerOrigin)),
		Time:     raw.Time,
		Header:   map[string][]string{},
		Data:     raw.Data,
	}
	letter.Reason, _ = percent.Decode(raw.Header.Get(transport.AttrReason))
	letter.Subject, _ = percent.Decode(raw.Header.Get(headerSubject))
	encoded := raw.Header.Get(headerBlock)
	if encoded == "" {
		return letter
	}
	block, _ := percent.Decode(encoded)
	header, whole := readBlock(block)
	letter.Header = header
	if size := raw.Header.Get(headerBlockCut); size != "" {
		letter.Header[headerBlockCut] = []string{size}
	}
	if !whole {
		letter.Header[headerBlock] = []string{encoded}
	}
	return letter
}
