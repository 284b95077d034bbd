package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// metaKey begins the keys in the bucket meta under which each key that ever sealed
// something here has sealed a word, so that a missing or wrong one is found when the
// file is opened, and not at the first saga.
const metaKey = "key "

const keyWord = "amends"

// checkKeys holds the keys that are given against those that have sealed.
func (s *Store) checkKeys(tx *bolt.Tx) error {
	c := tableMeta.bucket(tx).Cursor()
	var missing []string
	for k, v := c.Seek([]byte(metaKey)); k != nil && bytes.HasPrefix(k, []byte(metaKey)); k, v = c.Next() {
		name := strings.TrimPrefix(string(k), metaKey)
		word, err := tableMeta.open(k, v)
		if err != nil {
			return err
		}
		if s.options.Keys == nil || s.options.Keys.secrets[name] == nil {
			missing = append(missing, name)
			continue
		}
		if plain, err := s.options.Keys.open(part("key", name, 0), word); err != nil || string(plain) != keyWord {
			return fmt.Errorf("%w: the key %s is not the one that sealed it", ErrKey, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: it is sealed with %s, not given; a key is needed as long as what it sealed is kept", ErrKey, strings.Join(missing, ", "))
	}
	return nil
}

// noteKey remembers the key that seals from now on, and that releases which know
// nothing of seals must not touch the file.
func (s *Store) noteKey() error {
	keys := s.options.Keys
	if keys == nil {
		return nil
	}
	at := []byte(metaKey + keys.names[0])
	known := false
	if err := s.db.View(func(tx *bolt.Tx) (err error) {
		word, err := tableMeta.get(tableMeta.cursor(tx), at)
		known = word != nil
		return err
	}); err != nil || known {
		return err
	}
	s.info.Schema = schemaSealed
	return s.db.Update(func(tx *bolt.Tx) error {
		b := tableMeta.bucket(tx)
		if err := tableMeta.put(b, []byte(metaSchema), binary.AppendUvarint(nil, schemaSealed)); err != nil {
			return err
		}
		return tableMeta.put(b, at, keys.close(part("key", keys.names[0], 0), []byte(keyWord)))
	})
}
