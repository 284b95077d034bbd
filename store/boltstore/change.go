package boltstore

import (
	"fmt"

	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/outbox/outboxpb"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/sagapb"
	"github.com/amends-dev/amends/store"
)

// prepared is a change with everything encoded that can be encoded before the
// stored state is known: that work is done by the callers, side by side, and
// not by the one committer.
type prepared struct {
	id       saga.ID
	expected uint64
	head     head // places in the journal are filled in by apply
	slim     []byte
	birth    []byte
	events   [][]byte
	owe      []owed
	settle   []outbox.ID
}

type owed struct {
	key   []byte // of outbox
	frame []byte // with room for what putFrame fills in
}

func prepare(keys *Keys, c *store.Change) (*prepared, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	in := c.Instance
	class, err := store.ClassOf(in)
	if err != nil {
		return nil, invalid(err)
	}
	p := &prepared{id: in.ID, expected: c.Expected, birth: appendBirth(nil, in)}
	if p.slim, err = slim(in); err != nil {
		return nil, invalid(err)
	}
	p.slim = keys.closing("state", string(in.ID), in.Revision, p.slim)
	p.head = head{
		revision: in.Revision,
		class:    class,
		started:  nano(in.Started),
		wake:     nano(in.Wake()),
		ended:    nano(in.Ended),
		ref:      in.Definition,
		birthSum: keys.sum(p.birth),
	}
	p.events = make([][]byte, len(c.Events))
	for i := range c.Events {
		if p.events[i], err = sagapb.MarshalEvent(&c.Events[i]); err != nil {
			return nil, invalid(err)
		}
		p.events[i] = keys.closing("event", string(in.ID), c.Expected+1+uint64(i), p.events[i])
	}
	p.owe = make([]owed, len(c.Owe))
	for i := range c.Owe {
		p.owe[i].key = outboxKey(c.Owe[i].ID)
		frame, err := outboxpb.AppendRecord(newFrame(0), &c.Owe[i])
		if err != nil {
			return nil, invalid(err)
		}
		if keys != nil {
			sealed := keys.closing("owed", string(p.owe[i].key), 0, frame[frameSize:])
			frame = append(newFrame(len(sealed)), sealed...)
		}
		p.owe[i].frame = frame
	}
	p.settle = c.Settle
	return p, nil
}

func invalid(err error) error { return fmt.Errorf("%w: %w", store.ErrInvalid, err) }
