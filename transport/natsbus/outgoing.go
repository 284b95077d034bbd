package natsbus

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus/internal/bundle"
	"github.com/amends-dev/amends/transport/natsbus/internal/wire"
)

// outgoing is a message to publish, for one envelope or a bundle.
type outgoing struct {
	items   []int // indexes in the batch
	message *nats.Msg
	bundle  bool
	release func() // returns its buffers to the pool
}

// open is a bundle being filled with envelopes of one participant that all expire or all do not.
type open struct {
	stream      transport.Stream
	participant string
	items       []int
	bytes       int
	life        time.Duration // the longest of its envelopes; 0: no expiry
}

// pack builds the messages of a batch, and stores an error for each envelope that cannot be sent.
func (b *Bus) pack(batch []transport.Envelope, errs []error) []outgoing {
	list := make([]outgoing, 0, len(batch))
	bundles := make(map[string]*open, 8)
	add := func(items []int, as *open) {
		if len(items) == 0 {
			return
		}
		p, err := b.wrap(batch, items, as)
		if err != nil {
			for _, i := range items {
				errs[i] = err
			}
			return
		}
		list = append(list, p)
	}
	order := make([]*open, 0, 8)
	for i := range batch {
		e := &batch[i]
		stream, err := b.admit(e)
		if err != nil {
			errs[i] = err
			continue
		}
		participant := b.subjects.Participant(e.Subject)
		most := b.most(stream, participant)
		if most < 2 {
			add([]int{i}, nil)
			continue
		}
		life := b.life(e)
		key := string(stream) + participant
		if life > 0 {
			key += " expiring"
		}
		to := bundles[key]
		if to == nil {
			to = &open{stream: stream, participant: participant}
			bundles[key] = to
			order = append(order, to)
		}
		size := len(e.Data) + len(e.Subject)
		if len(to.items) >= most || to.bytes+size > b.bundleBytes() {
			add(to.items, to)
			to.items, to.bytes, to.life = nil, 0, 0
		}
		to.items = append(to.items, i)
		to.bytes += size
		to.life = max(to.life, life)
	}
	for _, rest := range order {
		add(rest.items, rest)
	}
	return list
}

// bundleBytes returns the maximum of data in a bundle.
func (b *Bus) bundleBytes() int {
	bytes := bundle.MaxBytes
	if most := b.config.MaxMessageBytes; most > 0 {
		bytes = min(bytes, most/4) // headers may take three times as much
	}
	return bytes
}

// admit returns an error if an envelope cannot be published.
func (b *Bus) admit(e *transport.Envelope) (transport.Stream, error) {
	if b.isClosed() {
		return "", transport.ErrClosed
	}
	return b.subjects.StreamOf(e.Subject)
}

// wrap encodes the message for some envelopes: a bundle if there are several.
func (b *Bus) wrap(batch []transport.Envelope, items []int, as *open) (outgoing, error) {
	limit := int(b.nc.MaxPayload())
	if len(items) == 1 {
		m := wire.Borrow(&batch[items[0]])
		if life := b.life(&batch[items[0]]); life > 0 {
			m.Set(jetstream.MsgTTLHeader, ttl(life))
		}
		if size := m.Size(); limit > 0 && size > limit {
			return outgoing{}, fmt.Errorf("%w: %d bytes with headers, at most %d", transport.ErrTooLarge, size, limit)
		}
		return outgoing{items: items, message: &m.Msg, release: m.Release}, nil
	}
	w := bundle.NewWriter()
	for _, i := range items {
		w.Add(&batch[i])
	}
	first := &batch[items[0]]
	envelope := transport.Envelope{
		Subject:     b.subjects.Bundle(as.stream, as.participant, len(items)),
		DedupID:     bundleID(batch, items),
		ID:          first.ID + "+" + strconv.Itoa(len(items)-1),
		Source:      first.Source,
		Type:        transport.TypeBundle,
		ContentType: bundle.ContentType,
		Data:        w.Bytes(),
	}
	b.stats.bundles.Add(1)
	m := wire.Encode(&envelope)
	if as.life > 0 {
		m.Header.Set(jetstream.MsgTTLHeader, ttl(as.life))
	}
	return outgoing{items: items, message: m, bundle: true, release: w.Release}, nil
}

// bundleID returns an id derived from the messages' ids: equal for the same messages, and as hard
// to guess; "" if one has no id.
func bundleID(batch []transport.Envelope, items []int) string {
	text := make([]byte, 0, len(items)*40)
	for _, i := range items {
		if batch[i].DedupID == "" {
			return ""
		}
		text = binary.AppendUvarint(text, uint64(len(batch[i].DedupID)))
		text = append(text, batch[i].DedupID...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// split sends the messages of permanently refused bundles one by one, since the server may accept
// each.
func (b *Bus) split(batch []transport.Envelope, list []outgoing, errs []error) []outgoing {
	var singles []outgoing
	for _, p := range list {
		if !p.bundle || !errors.Is(errs[p.items[0]], transport.ErrRefusedForGood) {
			continue
		}
		for _, i := range p.items {
			if one, err := b.wrap(batch, []int{i}, nil); err == nil {
				singles, errs[i] = append(singles, one), nil
			} else {
				errs[i] = err
			}
		}
	}
	return singles
}
