package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/store"
)

// schemaVersion is the version of the tables below. Open refuses a file with a different one.
const schemaVersion = 2

// table is a bucket of bbolt. Every value in it is framed:
//
//	format (1 byte) · CRC32C of table and key (4) · CRC32C of the body (4) · body
//
// bbolt's pages have no checksums, so a flipped bit could change a value, or hide a row by changing
// its key. The body's checksum also covers format and key.
type table byte

//	table        key                     body
//	meta         word                    schema, StoreRow, claim, clock, proofs of keys
//	ids          id                      start
//	sagas        start id 0 part         see below: all that belongs to a saga is under one prefix
//	index        class start ~id 0xff    definition
//	timers       time id                 -
//	expiry       s|t ended id            start
//	pending      to 0 item place         PendingRow
//	definitions  name 0 version          definition
//	counts       s class name 0 version  number of sagas
//	counts       d to                    number of pending messages
//
// The parts of a saga: h (SagaHead), s (digest of the start, then Start), e and a first revision
// (EventsRow), d and a name (large data). Times are nanoseconds since 1970 in big endian with the
// sign bit inverted, so that their bytes sort by time. Ids contain no byte below 0x2d, so 0x00
// separates. No key but that of ids begins with an id, so new sagas are appended to sagas, and to their class,
// destination and time elsewhere: bbolt writes whole pages, so a checkpoint costs what the number of
// pages costs that it changes.
const (
	tableMeta table = iota
	tableIDs
	tableSagas
	tableIndex
	tableTimers
	tableExpiry
	tablePending
	tableDefinitions
	tableCounts
)

// tables describes each table. fill is how full a page is after a split: high if keys are appended.
var tables = [...]struct {
	name string
	fill float64
}{
	tableMeta:        {"meta", 0.5},
	tableIDs:         {"ids", 0.7},
	tableSagas:       {"sagas", 0.95},
	tableIndex:       {"index", 0.9},
	tableTimers:      {"timers", 0.9},
	tableExpiry:      {"expiry", 0.9},
	tablePending:     {"pending", 0.95},
	tableDefinitions: {"definitions", 0.5},
	tableCounts:      {"counts", 0.5},
}

// seeds are the checksums of the tables' names, from which those of their keys are computed.
var seeds = func() (seeds [len(tables)]uint32) {
	for t := range tables {
		seeds[t] = crc32.Checksum([]byte(tables[t].name), castagnoli)
	}
	return seeds
}()

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	frameFormat = 1
	frameSize   = 9
)

func (t table) String() string { return tables[t].name }

// tableOf returns the table of a name.
func tableOf(name string) (table, bool) {
	for t := range tables {
		if tables[t].name == name {
			return table(t), true
		}
	}
	return 0, false
}

func (t table) bucket(tx *bolt.Tx) *bolt.Bucket {
	b := tx.Bucket([]byte(t.String()))
	if b == nil {
		panic(fmt.Sprintf("table %s is missing", t))
	}
	b.FillPercent = tables[t].fill
	return b
}

func (t table) keySum(key []byte) uint32 { return crc32.Update(seeds[t], castagnoli, key) }

func bodySum(format byte, keySum uint32, body []byte) uint32 {
	return crc32.Update(keySum^uint32(format), castagnoli, body)
}

// put stores a body.
func (t table) put(tx *bolt.Tx, key, body []byte) error {
	v := make([]byte, frameSize, frameSize+len(body))
	sum := t.keySum(key)
	v[0] = frameFormat
	binary.BigEndian.PutUint32(v[1:], sum)
	binary.BigEndian.PutUint32(v[5:], bodySum(frameFormat, sum, body))
	if err := t.bucket(tx).Put(key, append(v, body...)); err != nil {
		return fmt.Errorf("put into %s: %w", t, err)
	}
	return nil
}

func (t table) delete(tx *bolt.Tx, key []byte) error {
	if err := t.bucket(tx).Delete(key); err != nil {
		return fmt.Errorf("delete from %s: %w", t, err)
	}
	return nil
}

// open checks the value of a key and returns its body.
func (t table) open(key, v []byte) ([]byte, error) {
	switch {
	case len(v) < frameSize:
		return nil, t.corrupt(key, "it has only "+plural.Of(len(v), "byte", "bytes"))
	case binary.BigEndian.Uint32(v[1:]) != t.keySum(key):
		return nil, t.corrupt(key, "the checksum of its key is wrong")
	case binary.BigEndian.Uint32(v[5:]) != bodySum(v[0], binary.BigEndian.Uint32(v[1:]), v[frameSize:]):
		return nil, t.corrupt(key, "its checksum is wrong")
	case v[0] != frameFormat:
		return nil, t.corrupt(key, fmt.Sprintf("format %d is not known", v[0]))
	}
	return v[frameSize:], nil
}

func (t table) corrupt(key []byte, why string) *store.CorruptError {
	return &store.CorruptError{What: fmt.Sprintf("row %.160q of table %s", key, t), Why: why}
}

// get returns the body of a key, or nil if there is no row. The body is valid only during the
// transaction. get returns a *store.CorruptError if the row is damaged.
func (t table) get(tx *bolt.Tx, key []byte) ([]byte, error) {
	v := t.bucket(tx).Get(key)
	if v == nil {
		return nil, nil
	}
	return t.open(key, v)
}

// intact reports whether a key is as it was when it was written.
func (t table) intact(key, v []byte) bool {
	return len(v) >= frameSize && binary.BigEndian.Uint32(v[1:]) == t.keySum(key)
}

// neighbourhood bounds the number of rows that absent reads on each side of a key's place.
const neighbourhood = 256

// absent returns nil if the keys around the place of a key prove that there is no such row. A key
// with a flipped bit can hide its own row and, because lookups are binary searches, other rows. If
// absent finds a damaged key, it reads all rows nearby. Only the table ids needs this: absence from
// another table states nothing.
func (t table) absent(tx *bolt.Tx, key []byte) error {
	c := t.bucket(tx).Cursor()
	next, nextValue := c.Seek(key)
	var prev, prevValue []byte
	if next == nil {
		prev, prevValue = c.Last()
	} else {
		prev, prevValue = c.Prev()
	}
	if (next == nil || bytes.Compare(key, next) < 0 && t.intact(next, nextValue)) &&
		(prev == nil || bytes.Compare(prev, key) < 0 && t.intact(prev, prevValue)) {
		return nil
	}
	want := t.keySum(key)
	k, v := c.Seek(key)
	for range neighbourhood {
		if k, v = c.Prev(); k == nil {
			k, v = c.First()
			break
		}
	}
	hidden := false // whether a damaged row may have had this key
	for range 2 * neighbourhood {
		if k == nil || bytes.Compare(k, key) > 0 && t.intact(k, v) {
			break
		}
		if bytes.Equal(k, key) || len(v) >= frameSize && binary.BigEndian.Uint32(v[1:]) == want {
			return t.corrupt(key, "its key, or the key of a neighbouring row, is damaged")
		}
		hidden = !t.intact(k, v) && (hidden || !t.known(k, v))
		k, v = c.Next()
	}
	if hidden {
		return t.corrupt(key, "it is unknown whether the row exists: the key of a neighbouring row is damaged")
	}
	return nil
}

// known reports whether the original key of a damaged row can be told: the key's checksum in its value
// is intact, or its body matches the key that it has now.
func (t table) known(key, v []byte) bool {
	if len(v) < frameSize {
		return false
	}
	sum, body := binary.BigEndian.Uint32(v[5:]), v[frameSize:]
	return sum == bodySum(v[0], binary.BigEndian.Uint32(v[1:]), body) || sum == bodySum(v[0], t.keySum(key), body)
}
