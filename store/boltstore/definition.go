package boltstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/store"
)

// PutDefinition implements store.Store.
func (s *Store) PutDefinition(ctx context.Context, d store.Definition) error {
	key, keys := refKey(d.Ref), s.options.Keys
	return s.write(ctx, func(g *group) error {
		stored, sealed, err := g.find(tableDefinitions, key)
		if err != nil {
			return err
		}
		if stored == nil {
			body := append(appendBytes(nil, []byte(d.Fingerprint)), d.JSON...)
			return g.putAs(frameFormatOf(keys), tableDefinitions, key, sealPart(keys, "definition", string(key), 0, body))
		}
		have, _, err := s.openDefinition(key, stored, sealed)
		switch {
		case err != nil:
			return err
		case have != d.Fingerprint:
			return &store.DefinitionConflictError{Definition: d.Ref, Registered: have, Given: d.Fingerprint}
		}
		return nil
	})
}

// Definitions implements store.Store. It reports and skips damaged definitions.
func (s *Store) Definitions(ctx context.Context) ([]store.Definition, error) {
	var all []store.Definition
	err := s.view(ctx, func(tx *bolt.Tx) error {
		c := tableDefinitions.bucket(tx).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			d, err := s.readDefinition(k, v)
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

// openDefinition decodes a record of tableDefinitions.
func (s *Store) openDefinition(k, stored []byte, sealed bool) (fingerprint string, json []byte, err error) {
	body, err := openPart(s.options.Keys, sealed, "definition", string(k), 0, stored)
	if err != nil {
		return "", nil, tableDefinitions.corrupt(k, err.Error())
	}
	r := reader{b: body}
	if fingerprint = string(r.bytes()); r.err != nil {
		return "", nil, tableDefinitions.corrupt(k, r.err.Error())
	}
	return fingerprint, r.b, nil
}

func (s *Store) readDefinition(k, v []byte) (store.Definition, error) {
	stored, err := tableDefinitions.open(k, v)
	if err != nil {
		return store.Definition{}, err
	}
	fingerprint, json, err := s.openDefinition(k, stored, v[0] == frameSealed)
	if err != nil {
		return store.Definition{}, err
	}
	ref, ok := parseRefKey(k)
	sum := sha256.Sum256(json)
	switch is := hex.EncodeToString(sum[:]); {
	case !ok:
		return store.Definition{}, tableDefinitions.corrupt(k, "its key is not the key of a definition")
	case is != fingerprint:
		return store.Definition{}, tableDefinitions.corrupt(k, "its fingerprint is "+is+" instead of "+fingerprint)
	}
	return store.Definition{Ref: ref, Fingerprint: fingerprint, JSON: bytes.Clone(json)}, nil
}
