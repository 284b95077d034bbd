package boltstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/store/seal"
)

// owner is the saga to which a part belongs. A sealed part is bound to it, so that it can replace no
// part of another saga, nor of an earlier saga with the same id.
type owner struct {
	id    contract.SagaID
	birth contract.Birth
}

// Kinds of sealed parts.
const (
	sealedStart      = "start"
	sealedRest       = "rest"
	sealedEvent      = "event"
	sealedMessage    = "message"
	sealedData       = "data"
	sealedTombstone  = "tombstone"
	sealedDefinition = "definition"
	sealedRecord     = "record"
)

// part says which part of its owner a sealed part is.
type part struct {
	kind     string
	revision uint64             // of a state, an event or a message
	index    uint16             // of a message
	to       outbox.Destination // of a message
	name     []byte             // of data
}

func messagePart(id outbox.ID, to outbox.Destination) part {
	return part{kind: sealedMessage, revision: id.Revision, index: id.Index, to: to}
}

// binding identifies a part, and its owner.
func (o owner) binding(p part) []byte {
	b := append([]byte(p.kind+" "), o.id...)
	b = binary.BigEndian.AppendUint64(append(b, 0), uint64(o.birth))
	b = binary.BigEndian.AppendUint64(b, p.revision)
	b = binary.BigEndian.AppendUint16(b, p.index)
	return append(append(b, p.to...), p.name...)
}

// sealPart returns the stored form of a part: sealed if there are keys.
func sealPart(keys *seal.Keys, o owner, p part, plain []byte) []byte {
	if keys == nil {
		return plain
	}
	return keys.Seal(o.binding(p), plain)
}

// unsealPart is the inverse of sealPart. With keys it refuses what is not sealed.
func unsealPart(keys *seal.Keys, o owner, p part, stored []byte) ([]byte, error) {
	if keys == nil {
		return stored, nil
	}
	return keys.Open(o.binding(p), stored)
}

// nameSize is the size of a content name.
const nameSize = 16

// nameFor returns the content name of data. With keys it is an HMAC, because a plain hash would allow
// an attacker to verify guesses of sealed data.
func nameFor(keys *seal.Keys, data []byte) []byte {
	if keys == nil {
		sum := sha256.Sum256(data)
		return sum[:nameSize]
	}
	mac := keys.MAC(sealedData, data)
	return mac[:nameSize]
}

// mustMarshal encodes a message of this package. Encoding cannot fail: no field is required or validated.
func mustMarshal(m proto.Message) []byte {
	b, err := protoconv.Append(nil, m)
	if err != nil {
		panic(err)
	}
	return b
}

// checkKeys compares the given keys with the keys that sealed the store. A store is sealed either from
// its creation or never.
func checkKeys(tx *bolt.Tx, keys *seal.Keys, sealed bool) error {
	if keys != nil && !sealed {
		return fmt.Errorf("%w: make an encrypted copy with coordinator store copy, or begin with an empty directory", seal.ErrPlain)
	}
	var missing []string
	c := tableMeta.bucket(tx).Cursor()
	for k, v := c.Seek([]byte(metaKey)); k != nil && bytes.HasPrefix(k, []byte(metaKey)); k, v = c.Next() {
		name := strings.TrimPrefix(string(k), metaKey)
		word, err := tableMeta.open(k, v)
		if err != nil {
			return err
		}
		if !keys.Has(name) {
			missing = append(missing, name)
			continue
		}
		if plain, err := keys.Open(keyBinding(name), word); err != nil || string(plain) != keyWord {
			return fmt.Errorf("%w: the key %s is not the one with which the store was encrypted", seal.ErrKey, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("%w: not given: %s; a key is needed as long as data encrypted with it is kept",
			seal.ErrKey, strings.Join(missing, ", "))
	}
	if keys == nil && sealed {
		return fmt.Errorf("%w: the store is marked as encrypted, but names no key", seal.ErrKey)
	}
	return nil
}

const keyWord = "amends"

func keyBinding(name string) []byte {
	return owner{id: contract.SagaID(name)}.binding(part{kind: "key"})
}

// putKey records the key that encrypts from now on, with a known word that it seals: a missing or
// wrong key is then noticed when the store is opened, and not only when the first saga is read.
func putKey(tx *bolt.Tx, keys *seal.Keys) error {
	if keys == nil {
		return nil
	}
	key := []byte(metaKey + keys.First())
	if body, err := tableMeta.get(tx, key); err != nil || body != nil {
		return err
	}
	return tableMeta.put(tx, key, keys.Seal(keyBinding(keys.First()), []byte(keyWord)))
}
