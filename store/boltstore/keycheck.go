package boltstore

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/store/seal"
)

// metaKey is the prefix of the entries in the bucket meta that hold a known word. There is one
// entry for each encryption key that was ever used, and its word is sealed with that encryption
// key. The entries reveal a missing or wrong encryption key when the file is opened, and not only
// when the first saga is read.
const metaKey = "key "

const keyWord = "amends"

// checkKeys compares the given keys with the keys that sealed the store. A store is sealed either
// from its creation or never. So if keys are given and nothing in the file is sealed, the file is
// not a damaged sealed store, but a store that was never sealed.
func (s *Store) checkKeys(tx *bolt.Tx) error {
	c := tableMeta.bucket(tx).Cursor()
	var missing []string
	sealed := false
	for k, v := c.Seek([]byte(metaKey)); k != nil && bytes.HasPrefix(k, []byte(metaKey)); k, v = c.Next() {
		name := strings.TrimPrefix(string(k), metaKey)
		word, err := tableMeta.open(k, v)
		if err != nil {
			return err
		}
		if !s.options.Keys.Has(name) {
			missing = append(missing, name)
			continue
		}
		if plain, err := s.options.Keys.Open(part("key", name, 0), word); err != nil || string(plain) != keyWord {
			return fmt.Errorf("%w: the key %s is not the one with which the store was encrypted", seal.ErrKey, name)
		}
		sealed = true
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: not given: %s; a key is needed as long as data encrypted with it is kept", seal.ErrKey, strings.Join(missing, ", "))
	}
	made := slices.Contains(s.info.Features, featureSealed)
	switch {
	case s.options.Keys != nil && !(sealed && made):
		return fmt.Errorf("%w: make an encrypted copy with coordinator store copy, or begin with an empty directory", seal.ErrPlain)
	case s.options.Keys == nil && made:
		return fmt.Errorf("%w: the store is marked as encrypted, but names no key", seal.ErrKey)
	}
	return nil
}

// noteKey records, in a sealed store, the key that encrypts from now on, unless that key is already
// recorded.
func (s *Store) noteKey() error {
	keys := s.options.Keys
	if keys == nil {
		return nil
	}
	known := false
	if err := s.db.View(func(tx *bolt.Tx) (err error) {
		word, err := tableMeta.get(tableMeta.cursor(tx), keyEntry(keys))
		known = word != nil
		return err
	}); err != nil || known {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error { return putKey(tableMeta.bucket(tx), keys) })
}

// keyEntry returns the name of the entry in the bucket meta that holds the known word, sealed with
// the first encryption key.
func keyEntry(keys *seal.Keys) []byte { return []byte(metaKey + keys.First()) }

// putKey seals the known word with the first key, and stores it.
func putKey(meta *bolt.Bucket, keys *seal.Keys) error {
	return tableMeta.put(meta, keyEntry(keys), keys.Seal(part("key", keys.First(), 0), []byte(keyWord)))
}
