//go:build linux && lab

package reliability

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
)

// finding is what is wrong with one saga.
type finding struct {
	kind string // lost, doubled or stuck
	saga contract.SagaID
	what string
}

// line is one line of a participant's ledger.
type line struct {
	participant, key, step, direction string
	saga                              contract.SagaID
	amount                            int64
}

// books are those of all participants together.
type books struct {
	lines   []line
	balance int64 // of all accounts
}

// fate is what the coordinator's store says of a saga.
type fate struct {
	phase    contract.Phase
	revision uint64
	ended    bool
}

// money is what all accounts together hold on the first day.
var money = int64(len(participantNames)) * accounts * initial

func readBooks(ctx context.Context, dir string) (b books, err error) {
	for _, name := range participantNames {
		if err := b.read(ctx, name, booksFile(filepath.Join(dir, name), name)); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (b *books) read(ctx context.Context, name, file string) error {
	db, err := openBooks(ctx, file)
	if err != nil {
		return err
	}
	defer db.Close()
	var balance int64
	if err := db.QueryRowContext(ctx, `SELECT sum(balance) FROM account`).Scan(&balance); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	b.balance += balance
	rows, err := db.QueryContext(ctx, `SELECT key, saga, step, direction, amount FROM ledger ORDER BY rowid`)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	defer rows.Close()
	for rows.Next() {
		l := line{participant: name}
		if err := rows.Scan(&l.key, &l.saga, &l.step, &l.direction, &l.amount); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		b.lines = append(b.lines, l)
	}
	return rows.Err()
}

// readStore reads every saga from the coordinator's store, and folds its history
// (I8).
func readStore(ctx context.Context, dir string, runs []run) (fates map[contract.SagaID]fate, found []finding, err error) {
	s, err := boltstore.Open(filepath.Join(dir, "coordinator", server.StoreFile), boltstore.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	if err := s.Verify(ctx); err != nil {
		return nil, nil, fmt.Errorf("verify the store: %w", err)
	}
	fates = map[contract.SagaID]fate{}
	for i := range runs {
		id := runs[i].id
		in, err := s.Load(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("load saga %s: %w", id, err)
		}
		fates[id] = fate{phase: in.Phase, revision: in.Revision, ended: !in.Open()}
		if what := unlike(ctx, s, in); what != "" {
			found = append(found, finding{"lost", id, what})
		}
	}
	return fates, found, nil
}

// unlike says how a saga's history differs from its state; "" if it does not.
func unlike(ctx context.Context, s *boltstore.Store, in *machine.Instance) string {
	var events []machine.Event
	for uint64(len(events)) < in.Revision {
		page, err := s.History(ctx, in.ID, uint64(len(events))+1, 0)
		if err != nil || len(page) == 0 {
			return fmt.Sprintf("its history ends at revision %d, and it is at %d (%v)", len(events), in.Revision, err)
		}
		events = append(events, page...)
	}
	folded, err := machine.Fold(transferMoney.Plan(), events)
	if err != nil {
		return fmt.Sprintf("its history does not fold: %v", err)
	}
	if diff := cmp.Diff(*in, folded, cmpopts.EquateEmpty()); diff != "" {
		return "its history folds to another state (-stored +folded):\n" + diff
	}
	return ""
}

// audit compares what callers were told, what the store says, and what the
// participants did.
func audit(runs []run, fates map[contract.SagaID]fate, b books) (found []finding) {
	bySaga := map[contract.SagaID][]line{}
	for _, l := range b.lines {
		bySaga[l.saga] = append(bySaga[l.saga], l)
	}
	atRest := true
	for i := range runs {
		r := &runs[i]
		say := func(kind, format string, args ...any) {
			found = append(found, finding{kind, r.id, fmt.Sprintf(format, args...)})
		}
		f, exists := fates[r.id]
		if r.wrong != "" {
			say("lost", "its caller was given what no caller should get: %s", r.wrong)
		}
		switch {
		case !exists && !r.acked.IsZero():
			say("lost", "acknowledged, and the coordinator has never heard of it")
		case !exists && len(bySaga[r.id]) > 0:
			say("lost", "the coordinator has never heard of it, and participants have acted on it")
		case exists && !f.ended:
			atRest = false
			if f.phase != contract.Parked {
				say("stuck", "still %s", f.phase)
			}
		}
		if exists && !r.ended.IsZero() {
			if f.revision < r.told.Revision || !r.told.Ended.IsZero() && f.phase != r.told.Phase {
				say("lost", "its caller was told %s at revision %d, and it is %s at %d", r.told.Phase, r.told.Revision, f.phase, f.revision)
			}
		}
		if f.phase == contract.Completed && !r.possible() {
			say("doubled", "completed, though a participant must have said no")
		}
		for _, what := range effects(f.phase, bySaga[r.id]) {
			say("doubled", "%s", what)
		}
		delete(bySaga, r.id)
	}
	for id := range bySaga {
		found = append(found, finding{"lost", id, "nobody started it, and participants have acted on it"})
	}
	if atRest && b.balance != money {
		found = append(found, finding{"doubled", "", fmt.Sprintf("all accounts together hold %d, and held %d on the first day", b.balance, money)})
	}
	return found
}

// effects says what is wrong with what participants did for a saga that is in a
// phase (I3, I5).
func effects(phase contract.Phase, lines []line) (wrong []string) {
	keys := map[string]int{}
	net := map[string]int{}
	undone := 0
	for _, l := range lines {
		keys[l.key]++
		if l.direction == string(contract.DirectionUndo) {
			net[l.step]--
			undone++
		} else {
			net[l.step]++
		}
	}
	for key, n := range keys {
		if n > 1 {
			wrong = append(wrong, fmt.Sprintf("key %s took effect %d times", key, n))
		}
	}
	want := map[contract.Phase]int{contract.Completed: 1, contract.Compensated: 0}
	expected, ended := want[phase]
	if !ended {
		return wrong
	}
	for _, step := range []string{"reserve", "earmark", "settle", "announce"} {
		if net[step] != expected {
			wrong = append(wrong, fmt.Sprintf("%s, and the net effect of step %s is %d", phase, step, net[step]))
		}
	}
	if phase == contract.Completed && undone > 0 {
		wrong = append(wrong, "completed, and something was undone")
	}
	slices.Sort(wrong)
	return wrong
}

// TestAuditCanFail: each thing that may be wrong is found, and a clean run is
// clean.
func TestAuditCanFail(t *testing.T) {
	const id = "w00-000000"
	good := []line{
		{key: "1", saga: id, step: "reserve", direction: "do"}, {key: "2", saga: id, step: "earmark", direction: "do"},
		{key: "3", saga: id, step: "settle", direction: "do"}, {key: "4", saga: id, step: "announce", direction: "do"},
	}
	undone := []line{good[0], {key: "5", saga: id, step: "reserve", direction: "undo"}}
	acked := run{id: id, acked: t0, ended: t0}
	acked.told.Phase, acked.told.Revision, acked.told.Ended = contract.Completed, 5, t0
	back := acked
	back.told.Phase = contract.Compensated
	refused := acked
	refused.input.Refuse = true
	asked := run{id: id}
	odd := acked
	odd.wrong = "start answered: internal"
	done, gone := fate{contract.Completed, 5, true}, fate{contract.Compensated, 5, true}
	for name, c := range map[string]struct {
		run   run
		fate  *fate
		lines []line
		short int64 // money that is missing
		want  string
	}{
		"completed":                  {acked, &done, good, 0, ""},
		"compensated":                {back, &gone, undone, 0, ""},
		"never acknowledged, unseen": {asked, nil, nil, 0, ""},
		"parked":                     {asked, &fate{contract.Parked, 5, false}, good[:2], 7, ""},
		"lost":                       {acked, nil, nil, 0, "lost"},
		"acted on, but unknown":      {asked, nil, good, 0, "lost"},
		"an older state":             {acked, &fate{contract.Completed, 4, true}, good, 0, "lost"},
		"another end":                {acked, &gone, undone, 0, "lost"},
		"an odd answer":              {odd, &done, good, 0, "lost"},
		"still running":              {asked, &fate{contract.Running, 5, false}, good[:2], 0, "stuck"},
		"a key twice":                {acked, &done, append(good[:4:4], good[1]), 0, "doubled"},
		"an effect is missing":       {acked, &done, good[1:], 0, "doubled"},
		"not undone":                 {back, &gone, good[:1], 0, "doubled"},
		"undone though completed":    {acked, &done, append(good[:4:4], undone[1], line{key: "6", saga: id, step: "reserve", direction: "do"}), 0, "doubled"},
		"completed against a no":     {refused, &done, good, 0, "doubled"},
		"money is gone":              {acked, &done, good, 1, "doubled"},
		"a saga of nobody":           {asked, nil, []line{{key: "1", saga: "other", step: "reserve", direction: "do"}}, 0, "lost"},
	} {
		fates := map[contract.SagaID]fate{}
		if c.fate != nil {
			fates[id] = *c.fate
		}
		found := audit([]run{c.run}, fates, books{lines: c.lines, balance: money - c.short})
		switch {
		case c.want == "" && len(found) > 0:
			t.Errorf("%s: found %v", name, found)
		case c.want != "" && !slices.ContainsFunc(found, func(f finding) bool { return f.kind == c.want }):
			t.Errorf("%s: found %v, expected something %s", name, found, c.want)
		}
	}
}
