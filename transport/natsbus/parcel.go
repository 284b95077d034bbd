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
)

// parcel is a message to be published: of one envelope, or of a bundle.
type parcel struct {
	items  []int   // which envelopes of the batch
	form   *form   // of one
	packet *packet // of a bundle
	bundle nats.Msg
}

func (p *parcel) message() *nats.Msg {
	if p.form != nil {
		return &p.form.msg
	}
	return &p.bundle
}

// release gives the parcel's buffers back.
func (p *parcel) release() {
	if p.form != nil {
		p.form.release()
	} else {
		p.packet.release()
	}
}

// pile is what goes to, or comes from, one participant and can share a parcel: what
// expires, or what does not.
type pile struct {
	stream      transport.Stream
	participant string
	items       []int
	bytes       int
	life        time.Duration // the longest of any; 0: until it is taken
}

// pack makes parcels of a batch, and notes in errs what cannot be accepted anyway.
func (b *Bus) pack(batch []transport.Envelope, errs []error) []parcel {
	list := make([]parcel, 0, len(batch))
	piles := make(map[string]*pile, 8)
	add := func(items []int, as *pile) {
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
	order := make([]*pile, 0, 8)
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
		open := piles[key]
		if open == nil {
			open = &pile{stream: stream, participant: participant}
			piles[key] = open
			order = append(order, open)
		}
		size := len(e.Data) + len(e.Subject)
		if len(open.items) >= most || open.bytes+size > b.bundleBytes() {
			add(open.items, open)
			open.items, open.bytes, open.life = nil, 0, 0
		}
		open.items = append(open.items, i)
		open.bytes += size
		open.life = max(open.life, life)
	}
	for _, rest := range order {
		add(rest.items, rest)
	}
	return list
}

// bundleBytes bounds the data in a bundle.
func (b *Bus) bundleBytes() int {
	bytes := bundleBytes
	if most := b.config.MaxMessageBytes; most > 0 {
		bytes = min(bytes, most/4) // headers may be three times as much
	}
	return bytes
}

// admit refuses what cannot be published.
func (b *Bus) admit(e *transport.Envelope) (transport.Stream, error) {
	if b.isClosed() {
		return "", transport.ErrClosed
	}
	return b.subjects.StreamOf(e.Subject)
}

// wrap writes the message for some envelopes: a bundle of as, if there are several.
func (b *Bus) wrap(batch []transport.Envelope, items []int, as *pile) (parcel, error) {
	limit := int(b.nc.MaxPayload())
	if len(items) == 1 {
		f := borrow(&batch[items[0]])
		if life := b.life(&batch[items[0]]); life > 0 {
			f.set(jetstream.MsgTTLHeader, ttl(life))
		}
		if limit > 0 && f.size > limit {
			return parcel{}, fmt.Errorf("%w: %d bytes with headers, at most %d", transport.ErrTooLarge, f.size, limit)
		}
		return parcel{items: items, form: f}, nil
	}
	buffer := packets.Get().(*packet)
	for _, i := range items {
		buffer.add(&batch[i])
	}
	first := &batch[items[0]]
	envelope := transport.Envelope{
		Subject:     b.subjects.Bundle(as.stream, as.participant, len(items)),
		DedupID:     bundleID(batch, items),
		ID:          first.ID + "+" + strconv.Itoa(len(items)-1),
		Source:      first.Source,
		Type:        transport.TypeBundle,
		ContentType: bundleType,
		Data:        buffer.bytes,
	}
	b.stats.bundles.Add(1)
	m := encode(&envelope)
	if as.life > 0 {
		m.Header.Set(jetstream.MsgTTLHeader, ttl(as.life))
	}
	return parcel{items: items, packet: buffer, bundle: *m}, nil
}

// bundleID is made of its messages' ids: the same for the same messages, and as hard
// to guess; "" if one has none.
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

// split makes single parcels of the bundles that the server will never take: it may take
// each of their messages.
func (b *Bus) split(batch []transport.Envelope, list []parcel, errs []error) []parcel {
	var singles []parcel
	for _, p := range list {
		if p.packet == nil || !errors.Is(errs[p.items[0]], transport.ErrRefusedForGood) {
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
