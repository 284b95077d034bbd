package corrupttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/amends-dev/amends/contract"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/log"
)

// Saga flips one bit in the state of the saga sick, in the file of a store that no process has
// open. It tries one position after the other until sick is damaged and the saga well is not.
func Saga(ctx context.Context, path string, sick, well contract.SagaID) error {
	s, err := boltstore.Open(path, boltstore.Options{MapSize: 1})
	if err == nil {
		err = s.Close() // now the state has what only the log had
	}
	if err != nil {
		return err
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for at := 0; ; at++ {
		found := bytes.Index(sound[at:], []byte(sick))
		if found < 0 {
			return fmt.Errorf("the state of saga %s is not found in %s", sick, path)
		}
		at += found
		data, bit := bytes.Clone(sound), at+len(sick)+12 // after the key and the checksums
		if bit >= len(data) {
			continue
		}
		data[bit] ^= 4
		if err := os.WriteFile(path, data, 0o600); err != nil { //nolint:gosec // the path is a test's
			return err
		}
		if hit, err := onlyHit(ctx, path, sick, well); err != nil || hit {
			return err
		}
	}
}

// onlyHit reports whether the saga sick is damaged and the saga well is not.
func onlyHit(ctx context.Context, path string, sick, well contract.SagaID) (bool, error) {
	s, err := boltstore.Open(path, boltstore.Options{MapSize: 1})
	switch {
	case errors.Is(err, boltstore.ErrDamaged), errors.Is(err, store.ErrCorrupt):
		return false, nil // more than one saga was hit: try the next position
	case err != nil:
		return false, err
	}
	_, sickErr := s.Load(ctx, sick)
	_, wellErr := s.Load(ctx, well)
	return errors.Is(sickErr, store.ErrCorrupt) && wellErr == nil, s.Close()
}

// Record appends a record to the log of a store that no process has open. The record is intact, but
// cannot be applied. It names a saga.
func Record(path string, saga contract.SagaID) (number uint64, err error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	self := new(amendsv1.StoreRow)
	err = db.View(func(tx *bolt.Tx) error {
		const frame = 9 // format and checksums
		return proto.Unmarshal(tx.Bucket([]byte("meta")).Get([]byte("self"))[frame:], self)
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return 0, err
	}
	last := log.Mark{Log: log.ID(self.Log), Epoch: self.Epoch, Number: self.Record, Hash: log.Hash(self.Hash)}
	f, err := log.Open(path+".log", log.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Replay(last, func(log.Record) error { return nil }); err != nil {
		return 0, err
	}
	if err := f.Begin(self.Epoch); err != nil {
		return 0, err
	}
	const later = 99 // a class of a later release
	items := &amendsv1.LogItems{First: self.Item + 1, Items: []*amendsv1.LogItem{{
		Saga: string(saga), Head: &amendsv1.SagaHead{Class: later}, Events: [][]byte{{0}},
	}}}
	content, err := proto.Marshal(items)
	if err != nil {
		return 0, err
	}
	body, err := proto.Marshal(&amendsv1.LogRecord{Items: content})
	if err != nil {
		return 0, err
	}
	mark, err := f.Append(body)
	return mark.Number, err
}
