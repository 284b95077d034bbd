package boltstore

import (
	"context"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/ownership"
)

// identity distinguishes this store from others, including stores restored from its backups.
func (s *Store) identity() string { return fmt.Sprintf("%s-%d", s.info.ID, s.info.Incarnation) }

// LoadClaim implements ownership.ClaimStore. In a restored store, the claim is as old as the
// backup, but the store's identity is new.
func (s *Store) LoadClaim(ctx context.Context) (o ownership.SavedClaim, err error) {
	o.Store = s.identity()
	err = s.view(ctx, func(tx *bolt.Tx) error {
		body, err := tableMeta.get(tableMeta.bucket(tx).Cursor(), []byte(metaClaim))
		if err != nil || body == nil {
			return err
		}
		r := reader{b: body}
		o.Number, o.Incarnation, o.Before = r.uvarint(), string(r.bytes()), string(r.bytes())
		return r.err
	})
	return o, err
}

// SaveClaim implements ownership.ClaimStore.
func (s *Store) SaveClaim(ctx context.Context, o ownership.SavedClaim) error {
	body := binary.AppendUvarint(nil, o.Number)
	body = appendBytes(appendBytes(body, []byte(o.Incarnation)), []byte(o.Before))
	return s.write(ctx, func(g *group) error { return g.put(tableMeta, []byte(metaClaim), body) })
}
