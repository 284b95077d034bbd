package boltstore

import (
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/store"
)

// maxFindings bounds the findings that Verify reports.
const maxFindings = 100

// Verify reads the whole file. It checks the file's structure and every record, and that records
// and indexes agree. It returns at most 100 findings as a joined error, or nil if the store is
// intact. It can run while the store is in use.
func (s *Store) Verify(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return guard(func() error {
		findings, err := s.verify(ctx)
		return errors.Join(append(findings, err)...)
	})
}

// errStructure ends a verification, because records in a damaged structure prove nothing.
var errStructure = errors.New("the structure of the database file is damaged")

// verify returns its findings about records. If it could not check all records, err is errStructure
// or the error of ctx.
func (s *Store) verify(ctx context.Context) (findings []error, err error) {
	find := func(err error) {
		if err != nil && len(findings) < maxFindings {
			findings = append(findings, err)
		}
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			find(&store.CorruptError{What: "structure of the database file", Why: err.Error()})
		}
		if len(findings) > 0 {
			return errStructure
		}
		for _, t := range tables {
			if err := s.verifyTable(ctx, tx, t, find); err != nil {
				return err
			}
		}
		return s.verifySagas(ctx, tx, find)
	})
	return findings, err
}

// verifyTable checks every frame of a table, and the content of records that do not belong to a
// saga.
func (s *Store) verifyTable(ctx context.Context, tx *bolt.Tx, t table, find func(error)) error {
	c := t.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		body, err := t.open(k, v)
		if err == nil {
			err = checkSealed(s.options.Keys, t, k, v[0] == frameSealed)
		}
		if err != nil {
			find(err)
			continue
		}
		switch t {
		case tableDefinitions:
			_, err = s.readDefinition(k, v)
		case tableTombstones:
			_, err = s.openTombstone(contract.SagaID(k), body, v[0] == frameSealed)
		}
		find(err)
	}
	return nil
}

// verifySagas checks that the state and the whole history of every saga can be read, and that the
// saga is in the right positions in the indexes.
func (s *Store) verifySagas(ctx context.Context, tx *bolt.Tx, find func(error)) error {
	c := tableSagas.bucket(tx).Cursor()
	index, timers := tableIndex.bucket(tx), tableTimers.bucket(tx)
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		id := contract.SagaID(k)
		h, _, err := s.loadHead(tx, id)
		if err != nil {
			find(err)
			continue
		}
		_, err = s.load(tx, id)
		find(err)
		if entries, err := s.chain(tx, id, &h, 1, h.revision); err != nil {
			find(err)
		} else {
			_, err = s.decodeEvents(entries, id, 1, h.revision)
			find(err)
		}
		if index.Get(indexKey(h.class, h.started, id)) == nil {
			find(&store.CorruptError{What: "index of saga " + string(id), Why: "it is missing"})
		}
		if h.timer != 0 && timers.Get(timeKey("", h.timer, id)) == nil {
			find(&store.CorruptError{What: "timer of saga " + string(id), Why: "it is missing"})
		}
		find(s.verifyDebts(tx, id, &h))
	}
	return nil
}

// verifyDebts checks that the pending outbox records of a saga exist. Records of an ended saga may
// be missing: a discarded record is deleted, but the head of an ended saga still refers to it.
func (s *Store) verifyDebts(tx *bolt.Tx, id contract.SagaID, h *head) error {
	places := tableOwed.bucket(tx)
	for _, d := range h.debts {
		v := places.Get(d.key())
		if v == nil && !h.class.Open() {
			continue
		}
		what := fmt.Sprintf("outbox record %s", d.id(id, h))
		if v == nil {
			return &store.CorruptError{What: what, Why: "its message is missing"}
		}
		if _, _, err := s.readOwed(tx, d.key(), v); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
