package boltstore

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/sagapb"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/seal"
)

// prepared is a change. The parts that do not depend on the stored state are already encoded: the
// callers of Commit encode them concurrently, so that the single committer need not encode them.
type prepared struct {
	id       contract.SagaID
	expected uint64
	head     head // apply sets the journal positions
	slim     []byte
	birth    []byte
	start    machine.StartDigest // set for a saga's first change; if a later change has a new birth, apply copies start from the old birth
	events   [][]byte
	began    bool // the first event omits the data that the birth contains
	results  []given
	owe      []owed
	settle   []outbox.ID
}

type owed struct {
	id    outbox.ID
	to    outbox.Destination
	frame []byte // starts with space for the header that putFrame writes
}

func prepare(keys *seal.Keys, c *store.Change) (*prepared, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	in := c.Instance
	class, err := store.ClassOf(in)
	if err != nil {
		return nil, invalid(err)
	}
	p := &prepared{id: in.ID, expected: c.Expected, settle: c.Discard}
	if p.birth, err = sagapb.MarshalStart(&in.Start); err != nil {
		return nil, invalid(err)
	}
	if c.Expected == 0 {
		p.start = machine.DigestStart(in.ContentType, in.Input)
	}
	p.results = elsewhere(keys, in, c.Events)
	if p.slim, err = slim(in, p.results); err != nil {
		return nil, invalid(err)
	}
	p.slim = sealPart(keys, "state", string(in.ID), in.Revision, p.slim)
	p.head = head{
		revision: in.Revision,
		class:    class,
		started:  nano(in.Started),
		wake:     nano(in.Wake()),
		ended:    nano(in.Ended),
		updated:  nano(in.Updated),
		ref:      in.Definition,
		birthSum: partSum(keys, "birth", p.birth),
	}
	if err := p.record(keys, c); err != nil {
		return nil, invalid(err)
	}
	return p, nil
}

// record encodes the data that is appended: the events and the outbox records.
func (p *prepared) record(keys *seal.Keys, c *store.Change) (err error) {
	p.began = c.Expected == 0 && begins(&c.Events[0], c.Instance)
	p.events = make([][]byte, len(c.Events))
	for i := range c.Events {
		e := c.Events[i]
		if i == 0 && p.began {
			e.ID, e.ContentType, e.TraceParent, e.Payload = "", "", "", nil
		}
		if p.events[i], err = sagapb.MarshalEvent(&e); err != nil {
			return err
		}
		p.events[i] = sealPart(keys, "event", string(p.id), c.Expected+1+uint64(i), p.events[i])
	}
	p.owe = make([]owed, len(c.Enqueue))
	for i := range c.Enqueue {
		p.owe[i].id, p.owe[i].to = c.Enqueue[i].ID, c.Enqueue[i].To
		if p.owe[i].frame, err = owedFrame(keys, &c.Enqueue[i], c.Instance.Input); err != nil {
			return err
		}
	}
	return nil
}

func invalid(err error) error { return fmt.Errorf("%w: %w", store.ErrInvalid, err) }
