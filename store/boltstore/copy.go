package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math"
	"os"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/boltfile"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/outbox"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/store/seal"
)

// CopyOptions configures how a store is copied. The zero value produces a copy that is not sealed.
type CopyOptions struct {
	// Keys seal the copy; the first key encrypts. If nil, the copy is not sealed.
	Keys *seal.Keys
	// Progress is called with the number of sagas copied so far. It may be nil.
	Progress func(sagas int64)
}

// Copy writes a checkpoint, and copies the state to a file that must not exist yet. The copy is sealed
// with its own keys or not at all, so Copy is how keys are added, changed or removed. Nothing may
// commit to this store meanwhile. The copy contains no free pages, and gets a log of its own when it is
// opened. It is meant to replace the store, so it keeps the store's id, incarnation and claim.
//
// Copy returns os.ErrExist if a file exists at path. It returns store.ErrCorrupt if a row is damaged,
// because unreadable data cannot be sealed again.
func (s *Store) Copy(ctx context.Context, path string, options CopyOptions) error {
	err := s.Checkpoint(ctx)
	if err == nil {
		err = s.copy(ctx, path, &options)
	}
	if err != nil {
		return fmt.Errorf("copy store %s to %s: %w", s.info.Path, path, err)
	}
	return nil
}

func (s *Store) copy(ctx context.Context, path string, options *CopyOptions) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(err, fmt.Errorf("%w: move it away first; a copy never replaces a store", os.ErrExist))
	}
	o, err := Options{MapSize: s.options.MapSize, CheckLimit: math.MaxInt64, Keys: options.Keys}.withDefaults()
	if err != nil {
		return err
	}
	return boltfile.Create(path, ".copying-", func(temporary string) (err error) {
		to := newStore(temporary, o)
		if to.db, err = openFile(temporary, o, to.report); err != nil {
			return err
		}
		err = boltfile.Guard(func() error {
			if err := s.window(func(w *window) error { return (&copier{w, to, options}).run(ctx) }); err != nil {
				return err
			}
			findings, err := to.verify(ctx)
			return errors.Join(append(findings, err)...)
		})
		if err = errors.Join(err, boltfile.Guard(to.db.Close)); err == nil {
			crashpoint.Here(crashpoint.CopyUnnamed)
		}
		return err
	})
}

// copier copies a state to an empty file.
type copier struct {
	w       *window
	to      *Store
	options *CopyOptions
}

func (c *copier) run(ctx context.Context) error {
	w, to, options := c.w, c.to, c.options
	self, err := readSelf(w.tx)
	if err != nil {
		return err
	}
	self = marked(self, log.Mark{}, self.LastItem, self.LastItem)
	self.Log, self.Hash, self.Sealed = nil, nil, options.Keys != nil
	err = to.db.Update(func(tx *bolt.Tx) error { return errors.Join(fill(tx, options.Keys, self), c.entries(tx)) })
	if err != nil {
		return err
	}
	ids := tableIDs.bucket(w.tx).Cursor()
	done := int64(0)
	for k, v := ids.First(); k != nil; {
		err := to.db.Update(func(tx *bolt.Tx) error {
			counts := map[tally]int{}
			size := 0
			for ; k != nil && size < pieceBytes && ctx.Err() == nil; k, v = ids.Next() {
				if _, err := tableIDs.open(k, v); err != nil {
					return err
				}
				copied, err := c.saga(contract.SagaID(k))
				if err != nil {
					return err
				}
				for _, item := range copied.items {
					size += int(sizeOf(item))
				}
				tallies(copied.head(), func(t tally, n int) { counts[t] += n }, 1)
				if err := copied.write(tx); err != nil {
					return err
				}
				done++
			}
			return errors.Join(ctx.Err(), addCounts(tx, counts))
		})
		if err != nil {
			return err
		}
		if options.Progress != nil {
			options.Progress(done)
		}
	}
	return nil
}

// entries copies what belongs to no saga.
func (c *copier) entries(tx *bolt.Tx) error {
	s := c.w.s
	s.mu.RLock()
	entries := maps.Clone(s.entries)
	s.mu.RUnlock()
	for k, v := range entries {
		t, key, body, err := table(k[0]), []byte(k[1:]), v.data, v.damage
		if err == nil && t == tableDefinitions {
			var d store.Definition
			d, err = s.definition(key, body)
			body = c.to.encodeDefinition(d)
		}
		if err == nil {
			err = t.put(tx, key, body)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// saga returns a saga, or a tombstone, with its parts sealed again.
func (c *copier) saga(id contract.SagaID) (*saga, error) {
	w, keys := c.w, c.options.Keys
	h, err := readHead(w.tx, id)
	if err != nil {
		return nil, err
	}
	to := proto.CloneOf(h)
	of, err := w.contentOf(&saga{id: id, stored: h})
	if errors.Is(err, store.ErrEnded) {
		plain, err := unsealPart(w.s.options.Keys, ownerOf(id, h), part{kind: sealedTombstone}, h.Rest)
		to.Rest = sealPart(keys, ownerOf(id, h), part{kind: sealedTombstone}, plain)
		return &saga{id: id, items: []*amendsv1.LogItem{{Saga: string(id), Fresh: true, Head: to}}}, err
	}
	if err != nil {
		return nil, err
	}
	items, err := of.again(to, keys)
	return &saga{id: id, items: items}, err
}

// again returns the items of a saga whose parts are sealed with other keys: one for each message, and
// the last one with everything else. to is a copy of the saga's head.
func (c *content) again(to *head, keys *seal.Keys) (items []*amendsv1.LogItem, err error) {
	digest, start, err := c.first()
	if err != nil {
		return nil, err
	}
	in, err := c.state()
	if err != nil {
		return nil, err
	}
	events, err := c.history(1, int(c.head.Revision))
	if err != nil {
		return nil, err
	}
	p := &packer{keys: keys, owner: c.owner, input: start.Input}
	item := &amendsv1.LogItem{Saga: string(c.id), Head: to}
	var errs [3]error
	item.Start, errs[0] = p.start(start, digest)
	to.Rest, errs[1] = p.state(in)
	item.Events, errs[2] = p.events(&store.Change{Events: events})
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	for _, ref := range c.head.Pending {
		r, err := c.message(ref)
		if err != nil {
			return nil, err
		}
		messages, _, err := p.messages([]outbox.Record{r})
		if err != nil {
			return nil, err
		}
		enqueued := make([][]byte, ref.Place+1)
		enqueued[ref.Place] = messages[0]
		items = append(items, &amendsv1.LogItem{Head: &head{At: ref.Item}, Messages: enqueued})
	}
	if to.InputSum = 0; keys == nil {
		to.InputSum = crc32.Checksum(start.Input, castagnoli)
	}
	to.Data = nil
	for _, d := range p.data {
		to.Data = append(to.Data, d.Name)
	}
	item.Data = p.data
	items = append(items, item)
	items[0].Fresh = true
	return items, nil
}
