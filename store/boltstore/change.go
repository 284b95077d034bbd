package boltstore

import (
	"bytes"
	"errors"
	"fmt"

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
	packedInput         // it is the input of the saga's first start
	packedNamed         // the name of the data follows
)

// Forms of an encoded state: the first byte.
const (
	restWithoutStart = iota // the start is that of the saga's first change
	restWithStart           // the start differs, and is included
)

// prepared is a change whose parts are encoded and sealed. Callers prepare their changes concurrently,
// so that the committer, which is one goroutine, has less to do.
type prepared struct {
	change  *store.Change
	item    *amendsv1.LogItem
	pending []*amendsv1.PendingRef // of the item's messages, without the item's number
}

// prepare encodes a change. If differs is set, the state contains its start, because the start is not
// the one of the saga's first change. What is left out follows from the change, and from the start of its saga:
//
//   - revisions: from the expected one and the number of events;
//   - data that equals the input of the first start;
//   - of a message, what follows from its ID and destination (outboxpb.AppendAbridged).
func prepare(keys *seal.Keys, c *store.Change, differs bool) (*prepared, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	in := c.Instance
	class, err := store.ClassOf(in)
	if err != nil {
		return nil, invalid(err)
	}
	start, err := sagapb.MarshalStart(&in.Start)
	if err != nil {
		return nil, invalid(err)
	}
	name := nameFor(keys, sealedStart, start)
	p := &packer{keys: keys, owner: owner{in.ID, in.Birth()}, input: in.Input, differs: differs}
	h := &amendsv1.SagaHead{
		Revision: in.Revision, Class: uint32(class), StartedUnixNano: nano(in.Started), WakeUnixNano: nano(in.Wake()),
		EndedUnixNano: nano(in.Ended), Definition: protoconv.Ref(in.Definition), StartName: name[:],
	}
	item := &amendsv1.LogItem{Saga: string(in.ID), Head: h}
	if c.Expected == 0 {
		digest := machine.DigestStart(in.ContentType, in.Input)
		item.Start = sealPart(keys, p.owner.binding(sealedStart), append(digest[:], start...))
	}
	var errs [3]error
	var pending []*amendsv1.PendingRef
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

// packer encodes the parts of one change.
type packer struct {
	keys    *seal.Keys
	owner   owner
	input   []byte
	differs bool
	data    []*amendsv1.LogData // large data that the parts refer to
}

// pack returns the stored form of data; unpack is its inverse.
func (p *packer) pack(data []byte) []byte {
	switch {
	case len(data) == 0:
		return nil
	case !p.differs && len(p.input) > 0 && bytes.Equal(data, p.input):
		return []byte{packedInput}
	case len(data) < minNamed:
		return append([]byte{packedInline}, data...)
	}
	name := nameFor(p.keys, sealedData, data)
	known := false
	for _, d := range p.data {
		known = known || bytes.Equal(d.Name, name[:])
	}
	if !known {
		stored := sealPart(p.keys, p.owner.binding(sealedData, name[:]...), data)
		p.data = append(p.data, &amendsv1.LogData{Name: name[:], Data: stored})
	}
	return append([]byte{packedNamed}, name[:]...)
}

// state encodes the state without what the start holds. Results are packed.
func (p *packer) state(in *machine.Instance) ([]byte, error) {
	packed := *in
	packed.Steps = make([]machine.StepState, len(in.Steps))
	for i := range in.Steps {
		packed.Steps[i] = in.Steps[i]
		packed.Steps[i].Result = p.pack(in.Steps[i].Result)
	}
	form, encode := byte(restWithoutStart), sagapb.MarshalRest
	if p.differs {
		form, encode = restWithStart, sagapb.MarshalInstance
	}
	b, err := encode(&packed)
	return sealPart(p.keys, p.owner.binding(sealedRest, revisionBytes(in.Revision)...), append([]byte{form}, b...)), err
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
		events[i] = sealPart(p.keys, p.owner.binding(sealedEvent, revisionBytes(c.Expected+1+uint64(i))...), b)
	}
	return events, nil
}

func (p *packer) messages(records []outbox.Record) (messages []*amendsv1.LogMessage, pending []*amendsv1.PendingRef, err error) {
	for i := range records {
		r := records[i]
		r.Envelope.Data = p.pack(r.Envelope.Data)
		b, err := outboxpb.AppendAbridged(nil, &r, nil)
		if err != nil {
			return nil, nil, err
		}
		body := sealPart(p.keys, p.owner.binding(sealedMessage, messageBytes(r.ID, r.To)...), b)
		messages = append(messages, &amendsv1.LogMessage{Body: body})
		pending = append(pending, &amendsv1.PendingRef{
			Revision: r.ID.Revision, Index: uint32(r.ID.Index), To: string(r.To), Place: uint32(i),
		})
	}
	return messages, pending, nil
}
