package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/store"
)

// A framed value is
//
//	format (1 byte) · CRC32C of bucket and key (4) · CRC32C of the body (4) · body
//
// bbolt's pages have no checksum, so a flipped bit could change a value, or hide a record by
// changing its key. The checksum of the body also covers the format and detects a changed value.
// The checksum of the key detects a changed key (see absent).
const (
	frameFormat = 1
	// frameSealed means that parts of the body are sealed (seal.go). It is 3 and not 2, because a
	// change of the format from 2 to 1 used to go undetected.
	frameSealed = 3
	frameSize   = 9
)

// neighbourhood bounds the number of records that absent reads on each side of a position.
const neighbourhood = 256

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// table is a bucket of framed values.
type table struct {
	name string
	fill float64 // how full a page is after a split, from 0 to 1; high if keys are appended
	seed uint32  // checksum of the table's name; the checksums of its keys are computed from it
}

func newTable(name string, fill float64) table {
	return table{name: name, fill: fill, seed: checksum([]byte(name))}
}

// fatalError is a failure of the database as a whole, not of a single record.
type fatalError struct{ error }

func (e fatalError) Unwrap() error { return e.error }

func isFatal(err error) bool { return err != nil && errors.As(err, new(fatalError)) }

func (t table) bucket(tx *bolt.Tx) *bolt.Bucket {
	b := tx.Bucket([]byte(t.name))
	if b == nil {
		panic(fatalError{fmt.Errorf("bucket %s is missing", t.name)})
	}
	return b
}

// cursor returns a cursor for lookups. One cursor is enough for any number of lookups.
func (t table) cursor(tx *bolt.Tx) *bolt.Cursor { return t.bucket(tx).Cursor() }

func (t table) keySum(key []byte) uint32 {
	return crc32.Update(t.seed, castagnoli, key)
}

// bodySum returns the checksum of a body. The checksum covers the key, so that a value moved to
// another key is detected, and the format, so that sealed data is never read as plain. For the
// plain format it starts from the unmodified checksum of the key.
func bodySum(format byte, keySum uint32, body []byte) uint32 {
	if format != frameFormat {
		keySum ^= uint32(format)
	}
	return crc32.Update(keySum, castagnoli, body)
}

// put stores a body in a plain frame.
func (t table) put(b *bolt.Bucket, key, body []byte) error { return t.putAs(frameFormat, b, key, body) }

// putAs stores a body in a frame of the given format.
func (t table) putAs(format byte, b *bolt.Bucket, key, body []byte) error {
	return t.putFrame(format, b, key, append(newFrame(len(body)), body...))
}

// newFrame returns a buffer with space for the frame header. The caller appends a body of about
// size bytes and passes the buffer to putFrame, which then does not copy the body.
func newFrame(size int) []byte { return make([]byte, frameSize, frameSize+size) }

// putFrame stores a body that was appended to a buffer from newFrame.
func (t table) putFrame(format byte, b *bolt.Bucket, key, v []byte) error {
	sum := t.keySum(key)
	v[0] = format
	binary.BigEndian.PutUint32(v[1:], sum)
	binary.BigEndian.PutUint32(v[5:], bodySum(format, sum, v[frameSize:]))
	if err := b.Put(key, v); err != nil {
		return fatalError{fmt.Errorf("put into %s: %w", t.name, err)}
	}
	return nil
}

// delete removes a key if it exists.
func (t table) delete(c *bolt.Cursor, key []byte) error {
	_, err := t.deleteIf(c, key)
	return err
}

// deleteIf removes a key if it exists, and reports whether the key existed.
func (t table) deleteIf(c *bolt.Cursor, key []byte) (there bool, err error) {
	if k, _ := c.Seek(key); k == nil || !bytes.Equal(k, key) {
		return false, nil
	}
	if err := c.Delete(); err != nil {
		return true, fatalError{fmt.Errorf("delete from %s: %w", t.name, err)}
	}
	return true, nil
}

// open checks the value stored under key and returns its body.
func (t table) open(key, v []byte) ([]byte, error) {
	switch {
	case len(v) < frameSize:
		return nil, t.corrupt(key, "it is "+plural.Of(len(v), "byte", "bytes")+" long")
	case v[0] != frameFormat && v[0] != frameSealed:
		return nil, t.corrupt(key, fmt.Sprintf("format %d is not known", v[0]))
	case binary.BigEndian.Uint32(v[1:]) != t.keySum(key):
		return nil, t.corrupt(key, "the checksum of its key is wrong")
	case binary.BigEndian.Uint32(v[5:]) != bodySum(v[0], binary.BigEndian.Uint32(v[1:]), v[frameSize:]):
		return nil, t.corrupt(key, "its checksum is wrong")
	}
	return v[frameSize:], nil
}

func (t table) corrupt(key []byte, why string) *store.CorruptError {
	name := fmt.Sprintf("%.160q", key)
	if t.name == tableJournal.name && len(key) == 8 {
		name = strconv.FormatUint(binary.BigEndian.Uint64(key), 10)
	}
	return &store.CorruptError{What: "record " + name + " of " + t.name, Why: why}
}

// get returns the body stored under key, or nil if there is no record. The body is valid only
// during the transaction. get returns a *store.CorruptError if the record is damaged, or if other
// damage makes it impossible to know whether the record exists.
func (t table) get(c *bolt.Cursor, key []byte) ([]byte, error) {
	body, _, err := t.find(c, key)
	return body, err
}

// find does the same as get, and also reports whether parts of the body are sealed.
func (t table) find(c *bolt.Cursor, key []byte) (body []byte, sealed bool, err error) {
	k, v := c.Seek(key)
	if k == nil || !bytes.Equal(k, key) {
		return nil, false, t.absent(c, key)
	}
	body, err = t.open(key, v)
	return body, err == nil && v[0] == frameSealed, err
}

// absent returns nil if the keys around the position of key prove that key does not exist. A key
// with a flipped bit can hide its own record and, because lookups are binary searches, other
// records. If absent finds a damaged key, it reads all records nearby.
func (t table) absent(c *bolt.Cursor, key []byte) error {
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
	hidden := false // whether a damaged record may have had this key
	for range 2 * neighbourhood {
		if k == nil || bytes.Compare(k, key) > 0 && t.intact(k, v) {
			break
		}
		if bytes.Equal(k, key) || len(v) >= frameSize && binary.BigEndian.Uint32(v[1:]) == want {
			return t.corrupt(key, "its key, or the key of a neighbouring record, is damaged")
		}
		hidden = !t.intact(k, v) && (hidden || !t.known(k, v))
		k, v = c.Next()
	}
	if hidden {
		return t.corrupt(key, "it is unknown whether the record exists: the key of a neighbouring record is damaged")
	}
	return nil
}

// known reports whether the original key of a damaged record can be determined: the key checksum in
// its value is intact, or its body matches the key that it has now.
func (t table) known(key, v []byte) bool {
	if len(v) < frameSize {
		return false
	}
	sum, body := binary.BigEndian.Uint32(v[5:]), v[frameSize:]
	return sum == bodySum(v[0], binary.BigEndian.Uint32(v[1:]), body) || sum == bodySum(v[0], t.keySum(key), body)
}

// intact reports whether a key is unchanged since it was written.
func (t table) intact(key, v []byte) bool {
	return len(v) >= frameSize && binary.BigEndian.Uint32(v[1:]) == t.keySum(key)
}
