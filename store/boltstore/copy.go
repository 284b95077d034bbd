package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/store/seal"
)

// Bounds of one transaction of a copy (I10).
const (
	copyRecords = 4096
	copyBytes   = 8 << 20
)

// CopyOptions configures how a store is copied. The zero value produces a copy that is not sealed.
type CopyOptions struct {
	// Keys seal the copy; the first key encrypts. If nil, the copy is not sealed.
	Keys *seal.Keys
	// Progress is called with the number of records copied so far. It may be nil.
	Progress func(records int64)
}

// Copy copies this store to a file that must not exist yet. The copy is sealed with its own keys or
// not at all, so Copy is how keys are added, changed or removed. Nothing may write to this store
// meanwhile (see OpenReadOnly). The copy contains no free pages. It is meant to replace the store,
// so it keeps the store's id, incarnation and claim.
//
// Copy returns os.ErrExist if a file exists at path. It returns store.ErrCorrupt if a record is
// damaged, because unreadable data cannot be sealed again.
func (s *Store) Copy(ctx context.Context, path string, options CopyOptions) error {
	if err := s.copy(ctx, path, options); err != nil {
		return fmt.Errorf("copy store %s to %s: %w", s.info.Path, path, err)
	}
	return nil
}

func (s *Store) copy(ctx context.Context, path string, options CopyOptions) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(err, fmt.Errorf("%w: move it away first; a copy never replaces a store", os.ErrExist))
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".copying-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return err
	}
	var damage []error
	to, err := open(f.Name(), Options{
		MapSize: s.options.MapSize, CheckLimit: math.MaxInt64, Keys: options.Keys, OnCorrupt: func(err error) { damage = append(damage, err) },
	})
	if err != nil {
		return err
	}
	c := &copier{from: s, to: to, progress: options.Progress}
	err = guard(func() error {
		if err := c.run(ctx); err != nil {
			return err
		}
		findings, err := to.verify(ctx)
		return errors.Join(append(append(damage, findings...), err)...)
	})
	if err = errors.Join(err, guard(to.db.Close)); err != nil {
		return err
	}
	crashpoint.Here(crashpoint.CopyUnnamed)
	if err := give(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// copier copies the records of a store. It decrypts each record with the keys of from and encrypts
// it with the keys of to.
type copier struct {
	from, to *Store
	progress func(int64)
	done     int64
}

func (c *copier) run(ctx context.Context) error {
	return c.from.read(func(tx *bolt.Tx) error {
		for _, t := range tables {
			if err := c.table(ctx, tx, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// table copies a table with a bounded number of records per transaction.
func (c *copier) table(ctx context.Context, tx *bolt.Tx, t table) error {
	from := t.bucket(tx)
	cursor := from.Cursor()
	for k, v := cursor.First(); k != nil; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := c.to.db.Update(func(into *bolt.Tx) (err error) {
			b := t.bucket(into)
			b.FillPercent = 1 // the keys are in ascending order
			for n, size := 0, 0; k != nil && n < copyRecords && size < copyBytes; n++ {
				if err := c.record(tx, t, b, k, v); err != nil {
					return err
				}
				size += len(v)
				k, v = cursor.Next()
				c.done++
			}
			return b.SetSequence(from.Sequence())
		})
		if err != nil {
			return err
		}
		if c.progress != nil {
			c.progress(c.done)
		}
	}
	return nil
}

func (c *copier) record(tx *bolt.Tx, t table, into *bolt.Bucket, k, v []byte) error {
	body, err := t.open(k, v)
	if err != nil {
		return err
	}
	sealed, keys := v[0] == frameSealed, c.to.options.Keys
	switch t {
	case tableMeta:
		return c.meta(into, k, body)
	case tableSagas:
		body, err = c.saga(tx, contract.SagaID(k), body, sealed)
	case tableJournal:
		body, err = c.entry(tx, k, body)
	case tableOwed:
		if body, err = c.owed(tx, k, v); body == nil && err == nil {
			return nil
		}
	case tableTombstones:
		body, err = c.again("tombstone", string(k), 0, body, sealed)
	case tableDefinitions:
		body, err = c.again("definition", string(k), 0, body, sealed)
	default:
		return t.put(into, k, body)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", t.corrupt(k, "it cannot be copied"), err)
	}
	return t.putAs(frameFormatOf(keys), into, k, body)
}

// again decrypts a part of a record with the old keys and encrypts it with the new keys.
func (c *copier) again(kind, id string, revision uint64, stored []byte, sealed bool) ([]byte, error) {
	plain, err := openPart(c.from.options.Keys, sealed, kind, id, revision, stored)
	if err != nil {
		return nil, err
	}
	return sealPart(c.to.options.Keys, kind, id, revision, plain), nil
}

// meta copies the metadata of a store, except for the layout version, the keys, and the feature
// sealed. The copy has its own values for these.
func (c *copier) meta(into *bolt.Bucket, k, body []byte) error {
	if string(k) == metaSchema || string(k) == metaFeature+featureSealed || bytes.HasPrefix(k, []byte(metaKey)) {
		return nil
	}
	return tableMeta.put(into, k, body)
}

func (c *copier) saga(tx *bolt.Tx, id contract.SagaID, body []byte, sealed bool) ([]byte, error) {
	h, state, err := c.from.openHead(id, body, sealed)
	if err != nil {
		return nil, err
	}
	e, err := c.from.loadEntry(tx, id, h.birth)
	if err != nil {
		return nil, err
	}
	_, began, err := c.from.birthOf(e)
	if err != nil {
		return nil, err
	}
	keys := c.to.options.Keys
	h.birthSum = partSum(keys, "birth", began)
	for i := range h.results {
		r := &h.results[i]
		data, _, err := c.from.readResult(tx, id, &h, r)
		if err != nil {
			return nil, err
		}
		if r.sum = partSum(keys, "result", data); r.seq == 0 {
			r.inline = sealPart(keys, "result", string(id), uint64(r.step), data)
		}
	}
	state, err = c.again("state", string(id), h.revision, state, sealed)
	return append(h.append(nil), state...), err
}

func (c *copier) entry(tx *bolt.Tx, k, body []byte) ([]byte, error) {
	e, err := parseEntry(body)
	if err != nil {
		return nil, err
	}
	if e, err = c.from.loadEntry(tx, e.saga, binary.BigEndian.Uint64(k)); err != nil {
		return nil, err
	}
	if len(e.birth) > 0 {
		if e.birth, err = c.again("birth", string(e.saga), 0, e.birth, e.sealed); err != nil {
			return nil, err
		}
	}
	for i := range e.events {
		if e.events[i], err = c.again("event", string(e.saga), e.first+uint64(i), e.events[i], e.sealed); err != nil {
			return nil, err
		}
	}
	return e.append(nil), nil
}

// owed returns a copy of an outbox record, or nil if the record is no longer pending.
func (c *copier) owed(tx *bolt.Tx, k, v []byte) ([]byte, error) {
	o, h, err := c.from.openOwed(tx, k, v)
	if err != nil || h == nil {
		return nil, err
	}
	rest, err := c.again("owed", string(outboxKey(o.id)), 0, o.rest, o.sealed)
	return append(appendOwner(nil, o.id), rest...), err
}
