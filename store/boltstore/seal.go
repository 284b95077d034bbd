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

// binding identifies a part: its kind, its owner, and a revision, index or name.
func (o owner) binding(kind string, rest ...byte) []byte {
	b := append([]byte(kind+" "), o.id...)
	b = binary.BigEndian.AppendUint64(append(b, 0), uint64(o.birth))
	return append(b, rest...)
}

func revisionBytes(revision uint64) []byte { return binary.BigEndian.AppendUint64(nil, revision) }

func messageBytes(id outbox.ID, to outbox.Destination) []byte {
	return append(binary.BigEndian.AppendUint16(revisionBytes(id.Revision), id.Index), to...)
}

// sealPart returns the stored form of a part: sealed if there are keys.
func sealPart(keys *seal.Keys, binding, plain []byte) []byte {
	if keys == nil {
		return plain
	}
	return keys.Seal(binding, plain)
}

// unsealPart is the inverse of sealPart. With keys it refuses what is not sealed.
func unsealPart(keys *seal.Keys, binding, stored []byte) ([]byte, error) {
	if keys == nil {
		return stored, nil
	}
	return keys.Open(binding, stored)
}

// nameFor returns the content name of data. With keys it is an HMAC, because a plain hash would allow
// an attacker to verify guesses of sealed data.
func nameFor(keys *seal.Keys, kind string, data []byte) name {
	if keys == nil {
		sum := sha256.Sum256(append([]byte(kind+" "), data...))
		return nameOf(sum[:])
	}
	mac := keys.MAC(kind, data)
	return nameOf(mac[:])
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
		if plain, err := keys.Open(owner{id: contract.SagaID(name)}.binding("key"), word); err != nil || string(plain) != keyWord {
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
	return tableMeta.put(tx, key, keys.Seal(owner{id: contract.SagaID(keys.First())}.binding("key"), []byte(keyWord)))
}
