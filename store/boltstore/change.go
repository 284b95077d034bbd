package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/amends-dev/amends/internal/outboxpb"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/seal"
)

// minNamed is the size, in bytes, from which data is stored once for each saga and referred to by its
// content name. Smaller data is repeated in every state, event and message that contains it.
const minNamed = 1 << 10

// Kinds of packed data: the first byte of its stored form. Empty data is stored as nothing.
const (
	packedInline = iota // the data follows
	packedInput         // it is the input of the saga
	packedNamed         // the name of the data follows
)

// prepared is a change whose parts are encoded and sealed. Callers prepare their changes concurrently,
// so that the committer, which is one goroutine, has less to do.
type prepared struct {
	change  *store.Change
	item    *amendsv1.LogItem
	pending []*amendsv1.PendingRef // of the item's messages, without the item's number
}

// prepare encodes a change. What is left out follows from the change, and from the start of its saga:
//
//   - the start, after the first change;
//   - revisions: from the expected one and the number of events;
//   - data that equals the input;
//   - of a message, what follows from its ID and destination (outboxpb.AppendAbridged).
func prepare(keys *seal.Keys, c *store.Change) (*prepared, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	in := c.Instance
	class, err := store.ClassOf(in)
	if err != nil {
		return nil, invalid(err)
	}
	p := &packer{keys: keys, owner: owner{in.ID, in.Birth()}, input: in.Input}
	h := &amendsv1.SagaHead{
		Revision: in.Revision, Class: uint32(class), StartedUnixNano: nano(in.Started), WakeUnixNano: nano(in.Wake()),
		EndedUnixNano: nano(in.Ended), Definition: protoconv.Ref(in.Definition), InputSize: uint32(len(in.Input)),
	}
	if keys == nil {
		h.InputSum = crc32.Checksum(in.Input, castagnoli)
	}
	item := &amendsv1.LogItem{Saga: string(in.ID), Head: h}
	var errs [4]error
	var pending []*amendsv1.PendingRef
	if c.Expected == 0 {
		item.Start, errs[3] = p.start(&in.Start, machine.DigestStart(in.ContentType, in.Input))
	}
	h.Rest, errs[0] = p.state(in)
	item.Events, errs[1] = p.events(c)
	item.Messages, pending, errs[2] = p.messages(c.Enqueue)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, invalid(err)
	}
	item.Data = p.data
	return &prepared{c, item, pending}, nil
}

func invalid(err error) error { return fmt.Errorf("%w: %w", store.ErrInvalid, err) }

// packer encodes the parts of one change. What it returns shares no memory with the change.
type packer struct {
	keys  *seal.Keys
	owner owner
	input []byte
	data  []*amendsv1.LogData // large data that the parts refer to
}

// seal returns the stored form of a part.
func (p *packer) seal(of part, plain []byte) []byte { return sealPart(p.keys, p.owner, of, plain) }

// pack returns the stored form of data; unpack is its inverse.
func (p *packer) pack(data []byte) []byte {
	switch {
	case len(data) == 0:
		return nil
	case bytes.Equal(data, p.input):
		return []byte{packedInput}
	case len(data) < minNamed:
		return append([]byte{packedInline}, data...)
	}
	name := nameFor(p.keys, data)
	known := slices.ContainsFunc(p.data, func(d *amendsv1.LogData) bool { return bytes.Equal(d.Name, name) })
	if !known {
		stored := p.seal(part{kind: sealedData, name: name}, bytes.Clone(data))
		p.data = append(p.data, &amendsv1.LogData{Name: name, Data: stored})
	}
	return append([]byte{packedNamed}, name...)
}

// start encodes the digest of the saga's start, and the start.
func (p *packer) start(s *machine.Start, digest machine.StartDigest) ([]byte, error) {
	b, err := sagapb.MarshalStart(s)
	return p.seal(part{kind: sealedStart}, append(digest[:], b...)), err
}

// state encodes the state without its start. Results are packed.
func (p *packer) state(in *machine.Instance) ([]byte, error) {
	b, err := sagapb.MarshalRest(in, p.pack)
	return p.seal(part{kind: sealedRest, revision: in.Revision}, b), err
}

func (p *packer) events(c *store.Change) ([][]byte, error) {
	events := make([][]byte, len(c.Events))
	for i := range c.Events {
		e := c.Events[i]
		e.Payload = p.pack(e.Payload)
		b, err := sagapb.MarshalEvent(&e)
		if err != nil {
			return nil, err
		}
		events[i] = p.seal(part{kind: sealedEvent, revision: c.Expected + 1 + uint64(i)}, b)
	}
	return events, nil
}

func (p *packer) messages(records []outbox.Record) (messages [][]byte, pending []*amendsv1.PendingRef, err error) {
	for i := range records {
		r := records[i]
		r.Envelope.Data = p.pack(r.Envelope.Data)
		b, err := outboxpb.AppendAbridged(nil, &r)
		if err != nil {
			return nil, nil, err
		}
		messages = append(messages, p.seal(messagePart(r.ID, r.To), b))
		pending = append(pending, &amendsv1.PendingRef{
			Revision: r.ID.Revision, Index: uint32(r.ID.Index), To: string(r.To), Place: uint32(i),
		})
	}
	return messages, pending, nil
}
