//go:build linux && lab

package powercut

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/outbox"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
)

// promise is the newest acknowledged state of a saga.
type promise struct {
	revision uint64
	digest   string
}

// ledger holds everything that was acknowledged on one disk.
type ledger struct {
	promises map[contract.SagaID]promise
	acks     int // total number of acknowledgements
}

func newLedger() *ledger { return &ledger{promises: map[contract.SagaID]promise{}} }

// hear records the acknowledgements that a load process has printed, as lines.
func (l *ledger) hear(t *testing.T, lines []string) {
	t.Helper()
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) != 4 || words[0] != "ack" {
			if line != "open" {
				t.Fatalf("the load said %q", line)
			}
			continue
		}
		revision, err := strconv.ParseUint(words[2], 10, 64)
		if err != nil {
			t.Fatalf("the load said %q: %v", line, err)
		}
		l.acks++
		if known := l.promises[contract.SagaID(words[1])]; revision >= known.revision {
			l.promises[contract.SagaID(words[1])] = promise{revision, words[3]}
		}
	}
}

// auditFile opens a store after a cut and compares its content with what was acknowledged.
func (l *ledger) auditFile(ctx context.Context, dir string) (err error) {
	path := filepath.Join(dir, storeFile)
	if _, statErr := os.Stat(path); errors.Is(statErr, os.ErrNotExist) && l.acks > 0 {
		return fmt.Errorf("the store is gone with %d acknowledged sagas", len(l.promises))
	}
	var damage []error
	s, err := boltstore.Open(path, boltstore.Options{MapSize: 1, Log: small.Log, OnCorrupt: func(err error) { damage = append(damage, err) }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return errors.Join(l.audit(ctx, s), errors.Join(damage...))
}

func (l *ledger) audit(ctx context.Context, s *boltstore.Store) error {
	if err := s.Verify(ctx); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defs, err := s.Definitions(ctx)
	if err != nil {
		return err
	}
	if l.acks > 0 && len(defs) != 1 {
		return fmt.Errorf("%d definitions, want 1", len(defs))
	}
	var def *saga.Definition
	if len(defs) > 0 {
		if def, err = saga.ParseJSON(defs[0].JSON); err != nil {
			return err
		}
	}
	var findings []error
	find := func(id contract.SagaID, format string, a ...any) {
		if len(findings) < 20 {
			findings = append(findings, fmt.Errorf("saga %s: "+format, append([]any{id}, a...)...))
		}
	}
	for id, p := range l.promises {
		var stone *store.TombstoneError
		in, err := s.Load(ctx, id)
		switch {
		case errors.As(err, &stone): // retention removed it after its end
		case err != nil:
			find(id, "was acknowledged at revision %d: %w", p.revision, err)
		case in.Revision < p.revision:
			find(id, "was acknowledged at revision %d and is at %d", p.revision, in.Revision)
		}
	}
	pending := map[outbox.ID]bool{}
	if err := outbox.All(ctx, s, func(_ outbox.Position, r outbox.Record) bool { pending[r.ID] = true; return true }); err != nil {
		return err
	}
	sagas := 0
	for cursor, more := "", true; more; more = cursor != "" {
		var page []store.Summary
		if page, cursor, err = s.List(ctx, store.Filter{}, store.Page{Limit: store.MaxPage, Cursor: cursor}); err != nil {
			return err
		}
		for _, line := range page {
			sagas++
			if err := l.fold(ctx, s, def, line.ID, pending); err != nil {
				find(line.ID, "%w", err)
			}
		}
	}
	for id := range pending {
		find(id.Saga, "%s is pending, and its history does not say so", id)
	}
	return errors.Join(append(findings, counted(ctx, s, sagas))...)
}

func counted(ctx context.Context, s store.Store, sagas int) error {
	counts, err := s.Counts(ctx)
	sum := 0
	for _, c := range counts {
		sum += c.Sagas
	}
	if err == nil && sum != sagas {
		err = fmt.Errorf("%d sagas are counted and %d listed", sum, sagas)
	}
	return err
}

// fold replays a saga's history and compares it with the acknowledged and the stored state. It
// removes the commands that the history enqueues from pending, and reports any that are missing
// there.
func (l *ledger) fold(ctx context.Context, s store.Store, def *saga.Definition, id contract.SagaID, pending map[outbox.ID]bool) error {
	stored, err := s.Load(ctx, id)
	if err != nil {
		return err
	}
	events, err := s.History(ctx, id, 1, 0)
	if err != nil {
		return err
	}
	var in machine.Instance
	must, may := map[outbox.ID]bool{}, map[outbox.ID]bool{}
	for _, ev := range events {
		var eff machine.Effects
		if in, eff, err = machine.Decide(def.Plan(), in, ev); err != nil || eff.Ignored != "" {
			return fmt.Errorf("event %d of its history cannot be replayed: %w %s", in.Revision+1, err, eff.Ignored)
		}
		for _, d := range eff.Discarded {
			delete(must, outbox.ID{Saga: id, Birth: in.Birth(), Revision: d.Revision, Index: uint16(d.Index)})
		}
		for _, c := range eff.Commands {
			must[outbox.ID{Saga: id, Birth: in.Birth(), Revision: in.Revision, Index: uint16(c.Index)}] = true
		}
		for i := range eff.Announcements {
			record := outbox.ID{Saga: id, Birth: in.Birth(), Revision: in.Revision, Index: uint16(1<<15 + i)}
			if in.Revision%2 == 0 {
				may[record] = true // the load may have discarded it
			} else {
				must[record] = true
			}
		}
		if p, ok := l.promises[id]; ok && p.revision == in.Revision && p.digest != digest(&in) {
			return fmt.Errorf("its revision %d is not what was acknowledged", p.revision)
		}
	}
	if digest(&in) != digest(stored) {
		return fmt.Errorf("its history does not fold to its state at revision %d", stored.Revision)
	}
	for record := range must {
		if !pending[record] {
			return fmt.Errorf("%s is not pending any more", record)
		}
	}
	maps.DeleteFunc(pending, func(r outbox.ID, _ bool) bool { return must[r] || may[r] })
	return nil
}
