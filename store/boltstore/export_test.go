package boltstore

import (
	"bytes"
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/outbox"
)

// Abort stops the store as a crash would: queued changes and pending discards are lost.
func (s *Store) Abort() {
	_ = s.breakDown(errAborted)
	_ = s.Close()
}

var errAborted = errShort

// FailCommits makes commits fail with the error that fail returns; after nil they proceed.
func (s *Store) FailCommits(fail func() error) { s.failCommit = fail }

// Used returns the number of bytes of the file that are in use.
func (s *Store) Used() (size int64) {
	_ = s.db.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil })
	return size
}

// Damage changes a byte of a record: in the body or, if at is negative, in the frame.
func (s *Store) Damage(bucket string, key []byte, at int) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if key == nil {
			key, _ = b.Cursor().First()
		}
		v := append([]byte(nil), b.Get(key)...)
		v[frameSize+at] ^= 0x10
		return b.Put(append([]byte(nil), key...), v)
	})
}

// SetSchema changes the layout version, as if a different release had written the file.
func (s *Store) SetSchema(n uint64) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		return tableMeta.put(tableMeta.bucket(tx), []byte(metaSchema), binary.AppendUvarint(nil, n))
	})
}

// NoteFeature records a feature, as if a different release had used it.
func (s *Store) NoteFeature(name string) error {
	return s.db.Update(func(tx *bolt.Tx) error { return noteFeature(tx, name) })
}

// OwedKey returns the key of the first outbox record of a journal record.
func OwedKey(to outbox.Destination, seq uint64) []byte { return owedKey(to, seq, 0) }

// JournalKey returns the key of the journal record with a sequence number.
func JournalKey(seq uint64) []byte { return sequenceKey(seq) }

// Transplant stores the body of one record under the key of a different one, with correct
// checksums.
func (s *Store) Transplant(bucket string, from, to []byte) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		v := append([]byte(nil), b.Get(from)...)
		return newTable(bucket, 0).putAs(v[0], b, to, v[frameSize:])
	})
}

// Frames returns the raw records of a bucket.
func (s *Store) Frames(bucket string) map[string][]byte {
	frames := map[string][]byte{}
	_ = s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error {
			frames[string(k)] = bytes.Clone(v)
			return nil
		})
	})
	return frames
}

// Plant stores a raw record in the file; a nil frame removes it.
func (s *Store) Plant(bucket, key string, frame []byte) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		if frame == nil {
			return tx.Bucket([]byte(bucket)).Delete([]byte(key))
		}
		return tx.Bucket([]byte(bucket)).Put([]byte(key), frame)
	})
}

// Buckets returns the names of all buckets.
func Buckets() (names []string) {
	for _, t := range tables {
		names = append(names, t.name)
	}
	return names
}

// TimerTimes returns the times of the keys in the bucket timers.
func (s *Store) TimerTimes() (times []time.Time) {
	_ = s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("timers")).ForEach(func(k, _ []byte) error {
			at, _, _ := parseTimeKey(0, k)
			times = append(times, instant(at))
			return nil
		})
	})
	return times
}

// Remove deletes a record from a bucket and updates nothing else.
func (s *Store) Remove(bucket string, key []byte) error {
	return s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte(bucket)).Delete(key) })
}

// Records counts the records in a bucket.
func (s *Store) Records(bucket string) (n int) {
	_ = s.db.View(func(tx *bolt.Tx) error { n = tx.Bucket([]byte(bucket)).Stats().KeyN; return nil })
	return n
}

// Schema is the layout version of a store without keys.
const Schema = schemaVersion
