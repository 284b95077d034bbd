package boltstore

import (
	"context"
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/store"
)

// Clock implements store.Store.
func (s *Store) Clock(ctx context.Context) (c store.Clock, err error) {
	err = s.view(ctx, func(tx *bolt.Tx) error {
		body, err := tableMeta.get(tableMeta.bucket(tx).Cursor(), []byte(metaClock))
		if err != nil || body == nil {
			return err
		}
		r := reader{b: body}
		number := func() int64 { return unsortable(r.uvarint()) }
		c.Boot = string(r.bytes())
		c.Running, c.Wall = time.Duration(number()), instant(number())
		c.Total, c.Held = time.Duration(number()), time.Duration(number())
		c.Retimes = r.uvarint() == 1
		return r.err
	})
	return c, err
}

// SetClock implements store.Store.
func (s *Store) SetClock(ctx context.Context, c store.Clock) error {
	body := appendBytes(nil, []byte(c.Boot))
	for _, n := range []int64{int64(c.Running), nano(c.Wall), int64(c.Total), int64(c.Held)} {
		body = binary.AppendUvarint(body, sortable(n))
	}
	retimes := uint64(0)
	if c.Retimes {
		retimes = 1
	}
	body = binary.AppendUvarint(body, retimes)
	return s.write(ctx, func(g *group) error { return g.put(tableMeta, []byte(metaClock), body) })
}
