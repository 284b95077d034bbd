package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/ownership"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
)

// value is the value of an entry: a definition, the claim or the clock. All entries are in memory.
type value struct {
	data   []byte
	damage error // why bbolt's row cannot be read
	dirty  bool  // bbolt lacks it; guarded by Store.mu
}

// readEntries reads the entries.
func (s *Store) readEntries() error {
	return s.db.View(func(tx *bolt.Tx) error {
		read := func(t table, k, v []byte) {
			body, err := t.open(k, v)
			s.entries[keyIn(t, k)] = &value{data: bytes.Clone(body), damage: err}
		}
		for _, key := range []string{metaClaim, metaClock} {
			if v := tableMeta.bucket(tx).Get([]byte(key)); v != nil {
				read(tableMeta, []byte(key), v)
			}
		}
		return tableDefinitions.bucket(tx).ForEach(func(k, v []byte) error {
			read(tableDefinitions, k, v)
			return nil
		})
	})
}

// entry returns the value of an entry, or nil.
func (s *Store) entry(t table, key []byte) ([]byte, error) {
	s.mu.RLock()
	v := s.entries[keyIn(t, key)]
	s.mu.RUnlock()
	if v == nil {
		return nil, nil
	}
	s.counters.damage(v.damage)
	return v.data, v.damage
}

// entry returns the value of an entry, or nil. The items of the record in the making count.
func (g *group) entry(t table, key []byte) ([]byte, error) {
	if value, known := g.entries[keyIn(t, key)]; known {
		return value, nil
	}
	return g.s.entry(t, key)
}

// put adds an item that sets an entry.
func (g *group) put(t table, key, value []byte) {
	g.entries[keyIn(t, key)] = value
	g.add(&amendsv1.LogItem{Entry: &amendsv1.LogEntry{Table: t.String(), Key: key, Value: value}})
}

// PutDefinition implements store.Store.
func (s *Store) PutDefinition(ctx context.Context, d store.Definition) error {
	key := refKey(d.Ref)
	return s.write(ctx, func(g *group) error {
		stored, err := g.entry(tableDefinitions, key)
		if err != nil {
			return err
		}
		if stored == nil {
			g.put(tableDefinitions, key, s.encodeDefinition(d))
			return nil
		}
		have, err := s.definition(key, stored)
		switch {
		case err != nil:
			return err
		case have.Fingerprint != d.Fingerprint:
			return &store.DefinitionConflictError{Definition: d.Ref, Registered: have.Fingerprint, Given: d.Fingerprint}
		}
		return nil
	})
}

func (s *Store) encodeDefinition(d store.Definition) []byte {
	body := append(binary.AppendUvarint(nil, uint64(len(d.Fingerprint))), d.Fingerprint...)
	return sealPart(s.options.Keys, owner{id: contract.SagaID(refKey(d.Ref))}, part{kind: sealedDefinition}, append(body, d.JSON...))
}

// definition decodes a definition.
func (s *Store) definition(key, stored []byte) (store.Definition, error) {
	plain, err := unsealPart(s.options.Keys, owner{id: contract.SagaID(key)}, part{kind: sealedDefinition}, stored)
	if err != nil {
		return store.Definition{}, tableDefinitions.corrupt(key, err.Error())
	}
	n, size := binary.Uvarint(plain)
	ref, ok := parseRefKey(key)
	if size <= 0 || n > uint64(len(plain)-size) || !ok {
		return store.Definition{}, tableDefinitions.corrupt(key, "it cannot be read")
	}
	d := store.Definition{Ref: ref, Fingerprint: string(plain[size : size+int(n)]), JSON: append([]byte(nil), plain[size+int(n):]...)}
	sum := sha256.Sum256(d.JSON)
	if is := hex.EncodeToString(sum[:]); is != d.Fingerprint {
		return store.Definition{}, tableDefinitions.corrupt(key, "its fingerprint is "+is+" instead of "+d.Fingerprint)
	}
	return d, nil
}

// Definitions implements store.Store. It reports and skips damaged definitions.
func (s *Store) Definitions(ctx context.Context) (all []store.Definition, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	entries := maps.Clone(s.entries)
	s.mu.RUnlock()
	for _, k := range slices.Sorted(maps.Keys(entries)) {
		if table(k[0]) != tableDefinitions {
			continue
		}
		d, err := s.definition([]byte(k[1:]), entries[k].data)
		if err = cmp.Or(entries[k].damage, err); err != nil {
			s.report(err)
			continue
		}
		all = append(all, d)
	}
	return all, nil
}

// identity distinguishes this store from others, including stores restored from its backups.
func (s *Store) identity() string { return fmt.Sprintf("%s-%d", s.info.ID, s.info.Incarnation) }

// loadEntry decodes an entry of the table meta into m, and leaves m as it is if there is no such entry.
func (s *Store) loadEntry(ctx context.Context, key string, m *amendsv1.StoreEntry) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	body, err := s.entry(tableMeta, []byte(key))
	if err != nil {
		return err
	}
	return protoconv.Unmarshal(body, m)
}

func (s *Store) saveEntry(ctx context.Context, key string, m *amendsv1.StoreEntry) error {
	return s.write(ctx, func(g *group) error {
		g.put(tableMeta, []byte(key), mustMarshal(m))
		return nil
	})
}

// LoadClaim implements ownership.ClaimStore. In a restored store, the claim is as old as the backup,
// but the store's identity is new.
func (s *Store) LoadClaim(ctx context.Context) (ownership.SavedClaim, error) {
	var m amendsv1.StoreEntry
	err := s.loadEntry(ctx, metaClaim, &m)
	return ownership.SavedClaim{
		Store: s.identity(), Number: m.GetClaim().GetNumber(), Incarnation: m.GetClaim().GetIncarnation(), Before: m.GetClaim().GetBefore(),
	}, err
}

// SaveClaim implements ownership.ClaimStore.
func (s *Store) SaveClaim(ctx context.Context, o ownership.SavedClaim) error {
	return s.saveEntry(ctx, metaClaim, &amendsv1.StoreEntry{Claim: &amendsv1.ClaimEntry{
		Number: o.Number, Incarnation: o.Incarnation, Before: o.Before,
	}})
}

// Clock implements store.Store.
func (s *Store) Clock(ctx context.Context) (store.Clock, error) {
	var m amendsv1.StoreEntry
	err := s.loadEntry(ctx, metaClock, &m)
	c := m.GetClock()
	return store.Clock{
		Boot: c.GetBoot(), Running: time.Duration(c.GetRunningNanos()), Wall: instant(c.GetWallUnixNano()),
		Total: time.Duration(c.GetTotalNanos()), Retimes: c.GetRetimes(), Held: time.Duration(c.GetHeldNanos()),
	}, err
}

// SetClock implements store.Store.
func (s *Store) SetClock(ctx context.Context, c store.Clock) error {
	return s.saveEntry(ctx, metaClock, &amendsv1.StoreEntry{Clock: &amendsv1.ClockEntry{
		Boot: c.Boot, RunningNanos: int64(c.Running), WallUnixNano: nano(c.Wall), TotalNanos: int64(c.Total), Retimes: c.Retimes,
		HeldNanos: int64(c.Held),
	}})
}
