package boltstore

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/protoconv"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/log"
)

// encode encodes the next record. It returns an error if replay would refuse it.
func (s *Store) encode(items *amendsv1.LogItems) ([]byte, error) {
	if err := check(items, items.First, items.First); err != nil {
		return nil, err
	}
	content := mustMarshal(items)
	r := &amendsv1.LogRecord{Items: content}
	switch {
	case s.options.Keys != nil: // sealed parts cannot be compressed
		r.Seal = s.options.Keys.Seal(recordBinding(s.log.Last(), content), nil)
	case len(content) >= minPacked:
		r.Items, r.Packed = nil, s2.Encode(nil, content)
		if again, err := itemsOf(r); err != nil || !bytes.Equal(again, content) {
			r.Items, r.Packed = content, nil
		}
	}
	return mustMarshal(r), nil
}

// Records with at least minPacked bytes of items, usually those of many sagas, are compressed: such items have
// words and subjects in common, and take a fifth of the space. Items that would take less than one
// maxPacking-th are not compressed, so that a damaged record cannot ask for any amount of memory.
const (
	minPacked  = 4 << 10
	maxPacking = 256
)

// itemsOf returns the encoded items of a record.
func itemsOf(r *amendsv1.LogRecord) ([]byte, error) {
	if len(r.Packed) == 0 {
		return r.Items, nil
	}
	if n, err := s2.DecodedLen(r.Packed); err != nil || len(r.Items) > 0 || n > maxPacking*len(r.Packed) {
		return nil, fmt.Errorf("its compressed items cannot be read: %w", cmp.Or(err, s2.ErrCorrupt))
	}
	return s2.Decode(nil, r.Packed)
}

// decode decodes the record that follows a mark.
func (s *Store) decode(before log.Mark, body []byte) (*amendsv1.LogItems, error) {
	r := new(amendsv1.LogRecord)
	if err := protoconv.Unmarshal(body, r); err != nil {
		return nil, err
	}
	if s.options.Keys != nil { // then nothing is compressed
		if _, err := s.options.Keys.Open(recordBinding(before, r.Items), r.Seal); err != nil {
			return nil, err
		}
		r.Packed = nil
	}
	content, err := itemsOf(r)
	if err != nil {
		return nil, err
	}
	items := new(amendsv1.LogItems)
	if err := protoconv.Unmarshal(content, items); err != nil {
		return nil, err
	}
	return items, nil
}

// check returns an error if items cannot be applied. The number of the first must be from first to last.
func check(items *amendsv1.LogItems, first, last uint64) error {
	if items.First < first || items.First > last || len(items.Items) == 0 {
		return errors.New("it does not continue the items of the store")
	}
	for _, item := range items.Items {
		if err := checkItem(item); err != nil {
			return err
		}
	}
	return nil
}

func checkItem(item *amendsv1.LogItem) error {
	if e := item.Entry; e != nil {
		if _, known := tableOf(e.Table); !known || item.Saga != "" || len(e.Key) == 0 || len(e.Key) > bolt.MaxKeySize {
			return fmt.Errorf("it has an entry of table %.32q that this release does not know", e.Table)
		}
		return nil
	}
	if h := item.Head; h != nil && h.Class != 0 && (h.Class > uint32(store.ClassCompensated) || h.Definition.GetName() == "") {
		return fmt.Errorf("it has a state of saga %.128s, of class %d, that this release does not know", item.Saga, h.Class)
	}
	return contract.SagaID(item.Saga).Check()
}

// recordBinding binds a record to its place in its log.
func recordBinding(before log.Mark, items []byte) []byte {
	sum := sha256.Sum256(items)
	b := append([]byte(sealedRecord+" "), before.Log[:]...)
	b = binary.BigEndian.AppendUint64(b, before.Number+1)
	return append(append(b, before.Hash[:]...), sum[:]...)
}
