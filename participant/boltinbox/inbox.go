package boltinbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/amends-dev/amends/participant"
)

// Buckets for entries by key, and for keys by participant and time.
var (
	rootBucket    = []byte("amends_inbox")
	entryBucket   = []byte("entry")
	updatedBucket = []byte("updated")
)

// Inbox stores entries in a bucket of a bbolt database. Several participants may share it.
type Inbox struct {
	db *bbolt.DB
}

// New returns an inbox in an open, writable database. The bucket is created on first use.
func New(db *bbolt.DB) *Inbox { return &Inbox{db: db} }

// Update implements participant.Inbox.
func (i *Inbox) Update(ctx context.Context, key participant.StepKey, work participant.Work[*bbolt.Tx]) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		again, err := i.update(ctx, key, work)
		if !again {
			return err
		}
	}
}

// errDiscard rolls back a transaction. Another transaction then stores the entry.
var errDiscard = errors.New("the handler's writes are discarded")

func (i *Inbox) update(ctx context.Context, key participant.StepKey, work participant.Work[*bbolt.Tx]) (again bool, err error) {
	var entry, next participant.Entry
	err = i.db.Update(func(tx *bbolt.Tx) error {
		t, err := openTables(tx)
		if err != nil {
			return err
		}
		if entry, err = t.get(key); err != nil {
			return err
		}
		var keep bool
		next, keep, err = work(ctx, tx, entry)
		switch {
		case err != nil:
			return err
		case !keep:
			return errDiscard
		}
		return t.put(key, entry, next)
	})
	if !errors.Is(err, errDiscard) {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	err = i.db.Update(func(tx *bbolt.Tx) error {
		t, err := openTables(tx)
		if err != nil {
			return err
		}
		current, err := t.get(key)
		if err != nil {
			return err
		}
		if !current.Equal(entry) {
			again = true
			return nil
		}
		return t.put(key, entry, next)
	})
	return again && err == nil, err
}

// Prune implements participant.Inbox.
func (i *Inbox) Prune(_ context.Context, participant string, before time.Time, limit int) (removed int, err error) {
	err = i.db.Update(func(tx *bbolt.Tx) error {
		t, err := openTables(tx)
		if err != nil {
			return err
		}
		var old [][]byte
		prefix := []byte(participant + "/")
		end := updatedKey(participant, before, nil)
		cursor := t.updated.Cursor()
		for k, _ := cursor.Seek(prefix); k != nil && len(old) < limit && bytes.Compare(k, end) < 0; k, _ = cursor.Next() {
			old = append(old, bytes.Clone(k))
		}
		for _, k := range old {
			if err := errors.Join(t.entries.Delete(k[len(prefix)+8:]), t.updated.Delete(k)); err != nil {
				return err
			}
		}
		removed = len(old)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("boltinbox: prune: %w", err)
	}
	return removed, nil
}

// tables holds the buckets of one transaction.
type tables struct {
	entries, updated *bbolt.Bucket
}

func openTables(tx *bbolt.Tx) (t tables, err error) {
	root, err := tx.CreateBucketIfNotExists(rootBucket)
	if err != nil {
		return t, fmt.Errorf("open bucket %s: %w", rootBucket, err)
	}
	var errs [2]error
	t.entries, errs[0] = root.CreateBucketIfNotExists(entryBucket)
	t.updated, errs[1] = root.CreateBucketIfNotExists(updatedBucket)
	return t, errors.Join(errs[:]...)
}

func (t tables) get(key participant.StepKey) (e participant.Entry, err error) {
	data := t.entries.Get(entryKey(key))
	if data == nil {
		return e, nil
	}
	if e, err = decode(data); err != nil {
		return e, &DamageError{Key: key, Err: err}
	}
	return e, nil
}

// put replaces entry by next, unless both are equal.
func (t tables) put(key participant.StepKey, entry, next participant.Entry) error {
	if next.Equal(entry) {
		return nil
	}
	k := entryKey(key)
	if err := t.updated.Delete(updatedKey(key.Participant, entry.Updated, k)); err != nil {
		return fmt.Errorf("store the entry: %w", err)
	}
	if err := errors.Join(
		t.updated.Put(updatedKey(key.Participant, next.Updated, k), nil),
		t.entries.Put(k, encode(next)),
	); err != nil {
		return fmt.Errorf("store the entry: %w", err)
	}
	return nil
}

// entryKey returns participant/saga/birth/step. None of the parts contains a slash.
func entryKey(key participant.StepKey) []byte {
	return []byte(key.Participant + "/" + string(key.Saga) + "/" + key.Birth.String() + "/" + string(key.Step))
}

// updatedKey returns participant/<8 bytes of milliseconds><entryKey>.
func updatedKey(participant string, t time.Time, entry []byte) []byte {
	b := append([]byte(participant), '/')
	b = binary.BigEndian.AppendUint64(b, uint64(max(t.UnixMilli(), 0)))
	return append(b, entry...)
}

var _ participant.Inbox[*bbolt.Tx] = (*Inbox)(nil)
