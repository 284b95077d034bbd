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
// The pages of bbolt carry no checksum, so a flipped bit could change a value, or hide a record by
// changing its key. The checksum of the body, which covers the format too, detects the first; that
// of the key detects the second: see absent.
const (
	frameFormat = 1
	// Parts of the body are sealed: see seal.go. It is not 2, because a 2 that had become a 1 went
	// unnoticed.
	frameSealed = 3
	frameSize   = 9
)

// neighbourhood bounds how many records absent reads around damaged keys.
const neighbourhood = 256

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// table is a bucket of framed values.
type table struct {
	name string
	fill float64 // how full a page is left when it splits: high where keys are appended
	seed uint32  // checksum of the name, from which the checksums of its keys continue
}

func newTable(name string, fill float64) table {
	return table{name: name, fill: fill, seed: checksum([]byte(name))}
}

// fatalError is a failure of the database itself, not of one record.
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

// cursor returns a cursor for lookups. Each lookup moves it, so one is enough.
func (t table) cursor(tx *bolt.Tx) *bolt.Cursor { return t.bucket(tx).Cursor() }

func (t table) keySum(key []byte) uint32 {
	return crc32.Update(t.seed, castagnoli, key)
}

// bodySum covers the key, so that no value passes for another key's, and the format, so that
// nothing sealed is read as plain. For a plain value it starts from the key's sum itself.
func bodySum(format byte, keySum uint32, body []byte) uint32 {
	if format != frameFormat {
		keySum ^= uint32(format)
	}
	return crc32.Update(keySum, castagnoli, body)
}

// put stores a body in a frame.
func (t table) put(b *bolt.Bucket, key, body []byte) error { return t.putAs(frameFormat, b, key, body) }

// putAs is put with a given format.
func (t table) putAs(format byte, b *bolt.Bucket, key, body []byte) error {
	return t.putFrame(format, b, key, append(newFrame(len(body)), body...))
}

// newFrame returns room for a frame header. The caller appends a body of about size bytes and
// passes it to putFrame, which then need not copy it.
func newFrame(size int) []byte { return make([]byte, frameSize, frameSize+size) }

// putFrame is putAs for a body that was appended to newFrame.
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

// deleteIf is delete, and reports whether the key existed.
func (t table) deleteIf(c *bolt.Cursor, key []byte) (there bool, err error) {
	if k, _ := c.Seek(key); k == nil || !bytes.Equal(k, key) {
		return false, nil
	}
	if err := c.Delete(); err != nil {
		return true, fatalError{fmt.Errorf("delete from %s: %w", t.name, err)}
	}
	return true, nil
}

// open checks the value found under key and returns its body.
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

// get returns the body under key, or nil if there is none. The memory belongs to the transaction.
// It returns a *store.CorruptError if the record is damaged, or if damage hides whether it exists.
func (t table) get(c *bolt.Cursor, key []byte) ([]byte, error) {
	body, _, err := t.find(c, key)
	return body, err
}

// find is get, and reports whether parts of the body are sealed.
func (t table) find(c *bolt.Cursor, key []byte) (body []byte, sealed bool, err error) {
	k, v := c.Seek(key)
	if k == nil || !bytes.Equal(k, key) {
		return nil, false, t.absent(c, key)
	}
	body, err = t.open(key, v)
	return body, err == nil && v[0] == frameSealed, err
}

// absent returns nil if the keys around the position of key prove that it does not exist. A key
// with a flipped bit can hide itself and, because the search is binary, others; then absent reads
// every record around.
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
	hidden := false // whether some record may have this key
	for range 2 * neighbourhood {
		if k == nil || bytes.Compare(k, key) > 0 && t.intact(k, v) {
			break
		}
		if bytes.Equal(k, key) || len(v) >= frameSize && binary.BigEndian.Uint32(v[1:]) == want {
			return t.corrupt(key, "its key, or one next to it, is damaged")
		}
		hidden = !t.intact(k, v) && (hidden || !t.known(k, v))
		k, v = c.Next()
	}
	if hidden {
		return t.corrupt(key, "it cannot be told whether it exists: a record next to it has lost its key")
	}
	return nil
}

// known reports whether the original key of a damaged record is known: from its value, or because
// its body belongs to the key that it has.
func (t table) known(key, v []byte) bool {
	if len(v) < frameSize {
		return false
	}
	sum, body := binary.BigEndian.Uint32(v[5:]), v[frameSize:]
	return sum == bodySum(v[0], binary.BigEndian.Uint32(v[1:]), body) || sum == bodySum(v[0], t.keySum(key), body)
}

// intact reports whether a key is the one that was written.
func (t table) intact(key, v []byte) bool {
	return len(v) >= frameSize && binary.BigEndian.Uint32(v[1:]) == t.keySum(key)
}
