package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/outboxpb"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// content reads the parts of one saga in a window.
type content struct {
	w      *window
	id     contract.SagaID
	owner  owner
	head   *head
	items  []*amendsv1.LogItem // parts that bbolt lacks
	inBolt bool                // whether bbolt holds further parts
	start  *machine.Start      // the saga's start, once it was read
}

// content finds a saga. It returns the errors of store.Store.Load.
func (w *window) content(id contract.SagaID) (*content, error) {
	s, err := w.find(id)
	if err != nil {
		return nil, withSaga(id, err)
	}
	return w.contentOf(s)
}

func (w *window) contentOf(s *saga) (*content, error) {
	h := s.head()
	switch {
	case h == nil:
		return nil, fmt.Errorf("saga %.128s: %w", s.id, store.ErrNotFound)
	case removed(h):
		t, err := w.s.tombstone(s.id, h)
		if err == nil {
			return nil, t
		}
		return nil, withSaga(s.id, err)
	}
	if err := distrusted(s.id, h); err != nil {
		return nil, err
	}
	c := &content{w: w, id: s.id, head: h, owner: s.owner()}
	c.items, c.inBolt = s.parts()
	return c, nil
}

// part returns a part of the saga from bbolt.
func (c *content) part(part byte, name []byte) (body []byte, err error) {
	key := partKey(c.head.StartedUnixNano, c.id, part, name)
	if c.inBolt {
		body, err = tableSagas.get(c.w.tx, key)
	}
	if err == nil && body == nil {
		err = tableSagas.corrupt(key, "it is missing")
	}
	return body, err
}

// open opens a sealed part.
func (c *content) open(stored []byte, of part) ([]byte, error) {
	plain, err := unsealPart(c.w.s.options.Keys, c.owner, of, stored)
	if err != nil {
		return nil, c.corrupt(of.kind, err)
	}
	return plain, nil
}

func (c *content) corrupt(what string, err error) error {
	return &store.CorruptError{What: what + " of saga " + string(c.id), Why: err.Error(), Saga: c.id}
}

// first returns the digest and the start of the saga's first change.
func (c *content) first() (digest machine.StartDigest, start *machine.Start, err error) {
	var stored []byte
	if !c.inBolt {
		stored = c.items[0].Start
	} else {
		if stored, err = c.part(partStart, nil); err != nil {
			return digest, nil, err
		}
	}
	plain, err := c.open(stored, part{kind: sealedStart})
	if err != nil {
		return digest, nil, err
	}
	if len(plain) < len(digest) {
		return digest, nil, c.corrupt("start", errors.New("it is too short"))
	}
	copy(digest[:], plain)
	if c.start == nil {
		s, err := sagapb.UnmarshalStart(plain[len(digest):])
		if err != nil {
			return digest, nil, c.corrupt("start", err)
		}
		c.start = &s
	}
	return digest, c.start, nil
}

// unpack is the inverse of packer.pack. The result is the caller's.
func (c *content) unpack(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	switch form, rest := packed[0], packed[1:]; form {
	case packedInline:
		return bytes.Clone(rest), nil
	case packedInput:
		_, start, err := c.first()
		if err != nil {
			return nil, err
		}
		return bytes.Clone(start.Input), nil
	case packedNamed:
		return c.named(rest)
	default:
		return nil, c.corrupt("data", fmt.Errorf("form %d is not known", form))
	}
}

// named returns large data of the saga.
func (c *content) named(name []byte) ([]byte, error) {
	var stored []byte
	for _, item := range c.items {
		for _, d := range item.Data {
			if bytes.Equal(d.Name, name) {
				stored = d.Data
			}
		}
	}
	if stored == nil {
		var err error
		if stored, err = c.part(partData, name); err != nil {
			return nil, err
		}
	}
	plain, err := c.open(stored, part{kind: sealedData, name: name})
	return bytes.Clone(plain), err
}

// state returns the saga's state.
func (c *content) state() (in *machine.Instance, err error) {
	plain, err := c.open(c.head.Rest, part{kind: sealedRest, revision: c.head.Revision})
	if err != nil {
		return nil, err
	}
	_, first, err := c.first()
	if err != nil {
		return nil, err
	}
	start := *first
	start.Input = bytes.Clone(start.Input)
	if in, err = sagapb.UnmarshalRest(plain, start); err != nil {
		return nil, c.corrupt("state", err)
	}
	for i := range in.Steps {
		if in.Steps[i].Result, err = c.unpack(in.Steps[i].Result); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, id contract.SagaID) (in *machine.Instance, err error) {
	err = s.view(ctx, func(w *window) error {
		c, err := w.content(id)
		if err != nil {
			return err
		}
		in, err = c.state()
		return withSaga(id, err)
	})
	return in, err
}

// History implements store.Store.
func (s *Store) History(ctx context.Context, id contract.SagaID, from uint64, limit int) (events []machine.Event, err error) {
	err = s.view(ctx, func(w *window) error {
		c, err := w.content(id)
		if err != nil {
			return err
		}
		events, err = c.history(max(from, 1), store.Bounded(limit))
		return withSaga(id, err)
	})
	return events, err
}

// history returns at most limit events from a revision on.
func (c *content) history(from uint64, limit int) (events []machine.Event, err error) {
	to := c.head.Revision
	if from > to {
		return nil, nil
	}
	if to-from >= uint64(limit) {
		to = from + uint64(limit) - 1
	}
	base := c.base()
	events = make([]machine.Event, 0, to-from+1)
	if from <= base {
		if events, err = c.stored(events, from, min(to, base)); err != nil {
			return nil, err
		}
	}
	for _, item := range c.items {
		for i, stored := range item.Events {
			if r := item.Head.Revision - uint64(len(item.Events)-1-i); r >= from && r <= to {
				e, err := c.event(r, stored)
				if err != nil {
					return nil, err
				}
				events = append(events, *e)
			}
		}
	}
	return events, nil
}

// base returns the revision up to which bbolt holds the events.
func (c *content) base() uint64 {
	base := c.head.Revision
	for _, item := range c.items {
		base -= uint64(len(item.Events))
	}
	return base
}

// stored appends the events of the revisions from … to, which bbolt holds.
func (c *content) stored(events []machine.Event, from, to uint64) ([]machine.Event, error) {
	prefix := partKey(c.head.StartedUnixNano, c.id, partEvents, nil)
	cursor := tableSagas.bucket(c.w.tx).Cursor()
	k, v := before(cursor, binary.BigEndian.AppendUint64(bytes.Clone(prefix), from+1))
	next := from
	for ; k != nil && bytes.HasPrefix(k, prefix) && len(k) == len(prefix)+8 && next <= to; k, v = cursor.Next() {
		body, err := tableSagas.open(k, v)
		if err != nil {
			return nil, err
		}
		m := new(amendsv1.EventsRow)
		if err := protoconv.Unmarshal(body, m); err != nil {
			return nil, tableSagas.corrupt(k, err.Error())
		}
		first := binary.BigEndian.Uint64(k[len(prefix):])
		for i, stored := range m.Events {
			if r := first + uint64(i); r == next && r <= to {
				e, err := c.event(r, stored)
				if err != nil {
					return nil, err
				}
				events, next = append(events, *e), next+1
			}
		}
	}
	if next <= to {
		return nil, c.corrupt("history", fmt.Errorf("the event of revision %d is missing", next))
	}
	return events, nil
}

func (c *content) event(revision uint64, stored []byte) (*machine.Event, error) {
	what := fmt.Sprintf("event %d", revision)
	plain, err := unsealPart(c.w.s.options.Keys, c.owner, part{kind: sealedEvent, revision: revision}, stored)
	if err != nil {
		return nil, c.corrupt(what, err)
	}
	e, err := sagapb.UnmarshalEvent(plain)
	if err != nil {
		return nil, c.corrupt(what, err)
	}
	e.Payload, err = c.unpack(e.Payload)
	return e, err
}

// message returns a pending message.
func (c *content) message(p *amendsv1.PendingRef) (r outbox.Record, err error) {
	stored, err := c.body(p)
	if err != nil {
		return r, err
	}
	return c.messageOf(p, stored)
}

// messageOf returns a pending message by its stored body.
func (c *content) messageOf(p *amendsv1.PendingRef, stored []byte) (r outbox.Record, err error) {
	id, to := c.owner.idOf(p), outbox.Destination(p.To)
	plain, err := c.open(stored, messagePart(id, to))
	if err != nil {
		return r, err
	}
	if r, err = outboxpb.UnmarshalAbridged(plain, id, to); err != nil {
		return r, c.corrupt("message "+id.String(), err)
	}
	r.Envelope.Data, err = c.unpack(r.Envelope.Data)
	return r, err
}

// body returns the stored body of a pending message.
func (c *content) body(p *amendsv1.PendingRef) ([]byte, error) {
	if body := messageIn(c.items, p); body != nil {
		return body, nil
	}
	key := pendingKey(outbox.Destination(p.To), positionOf(p))
	body, err := tablePending.get(c.w.tx, key)
	if err != nil {
		return nil, err
	}
	m := new(amendsv1.PendingRow)
	if err := protoconv.Unmarshal(body, m); err != nil || body == nil || m.Saga != string(c.id) {
		return nil, tablePending.corrupt(key, "the message is missing")
	}
	return m.Body, nil
}

// messageIn returns the body of a pending message if one of the items enqueued it, and nil otherwise.
func messageIn(items []*amendsv1.LogItem, p *amendsv1.PendingRef) []byte {
	for _, item := range items {
		if item.Head.GetAt() == p.Item && int(p.Place) < len(item.Messages) {
			return item.Messages[p.Place]
		}
	}
	return nil
}

// tombstone decodes the tombstone of a saga.
func (s *Store) tombstone(id contract.SagaID, h *head) (*store.TombstoneError, error) {
	key := partKey(h.StartedUnixNano, id, partHead, nil)
	plain, err := unsealPart(s.options.Keys, ownerOf(id, h), part{kind: sealedTombstone}, h.Rest)
	if err != nil {
		return nil, tableSagas.corrupt(key, err.Error())
	}
	m := new(amendsv1.Tombstone)
	if err := protoconv.Unmarshal(plain, m); err != nil {
		return nil, tableSagas.corrupt(key, err.Error())
	}
	t := &store.TombstoneError{
		Saga: id, Definition: protoconv.FromRef(m.Definition), Phase: store.Class(m.Class).Phase(),
		Started: instant(m.StartedUnixNano), Ended: instant(m.EndedUnixNano),
	}
	copy(t.Start[:], m.Start)
	if r := m.Removal; r != nil {
		t.Removal = &store.Removal{At: instant(r.AtUnixNano), By: r.By, Reason: r.Reason, Damage: r.Damage}
	}
	return t, nil
}

// Counts implements store.Store.
func (s *Store) Counts(ctx context.Context) ([]store.Count, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	type key struct {
		ref   contract.DefinitionRef
		phase contract.Phase
	}
	sagas, ended := map[key]int{}, map[key]int{}
	s.mu.RLock()
	for t, n := range s.counts {
		if t.class == 0 {
			continue
		}
		k := key{t.ref, t.class.Phase()}
		sagas[k] += n
		if !t.class.Open() {
			ended[k] += n
		}
	}
	s.mu.RUnlock()
	counts := make([]store.Count, 0, len(sagas))
	for k, n := range sagas {
		counts = append(counts, store.Count{Definition: k.ref, Phase: k.phase, Sagas: n, Ended: ended[k]})
	}
	slices.SortFunc(counts, func(a, b store.Count) int {
		return cmp.Or(cmp.Compare(a.Definition.Name, b.Definition.Name),
			cmp.Compare(a.Definition.Version, b.Definition.Version), cmp.Compare(a.Phase, b.Phase))
	})
	return counts, nil
}

// Destinations implements store.Store. The counts include discarded messages until the next commit.
func (s *Store) Destinations(ctx context.Context) (map[outbox.Destination]int, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	counts := map[outbox.Destination]int{}
	for t, n := range s.counts {
		if t.class == 0 {
			counts[t.to] = n
		}
	}
	return counts, nil
}
