package boltstore

import (
	"context"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/sagapb"
	"github.com/amends-dev/amends/store"
)

// PutDefinition implements store.Store.
func (s *Store) PutDefinition(ctx context.Context, d *saga.Definition) error {
	data, err := sagapb.MarshalDefinition(d)
	if err != nil {
		return err
	}
	key := refKey(d.Ref())
	crashpoint.Here("boltstore: before a definition is written")
	return s.write(ctx, func(g *group) error {
		body, err := g.get(tableDefinitions, key)
		if err != nil {
			return err
		}
		if body == nil {
			return g.put(tableDefinitions, key, append(appendBytes(nil, []byte(d.Fingerprint())), data...))
		}
		r := reader{b: body}
		have := string(r.bytes())
		switch {
		case r.err != nil:
			return tableDefinitions.corrupt(key, r.err.Error())
		case have != d.Fingerprint():
			return &store.DefinitionConflictError{Definition: d.Ref(), Registered: have, Given: d.Fingerprint()}
		}
		return nil
	})
}

// Definitions implements store.Store. A damaged one is passed over.
func (s *Store) Definitions(ctx context.Context) ([]*saga.Definition, error) {
	var all []*saga.Definition
	err := s.view(ctx, func(tx *bolt.Tx) error {
		c := tableDefinitions.bucket(tx).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			d, err := readDefinition(k, v)
			if err != nil {
				s.report(err)
				continue
			}
			all = append(all, d)
		}
		return nil
	})
	return all, err
}

func readDefinition(k, v []byte) (*saga.Definition, error) {
	body, err := tableDefinitions.open(k, v)
	if err != nil {
		return nil, err
	}
	r := reader{b: body}
	fingerprint := string(r.bytes())
	if r.err != nil {
		return nil, tableDefinitions.corrupt(k, r.err.Error())
	}
	d, err := sagapb.UnmarshalDefinition(r.b)
	switch {
	case err != nil:
		return nil, tableDefinitions.corrupt(k, err.Error())
	case d.Fingerprint() != fingerprint:
		return nil, tableDefinitions.corrupt(k, "its fingerprint is "+d.Fingerprint()+" and not "+fingerprint)
	}
	return d, nil
}
