//go:build linux && lab

package partition

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
)

// line is one line of the bank's ledger.
type line struct {
	key, step, direction string
	saga                 contract.SagaID
}

// books are what the bank has done.
type books struct {
	lines   []line
	balance int64 // of all accounts
}

func readBooks(ctx context.Context, dir string) (b books, err error) {
	db, err := openBooks(ctx, dir)
	if err != nil {
		return b, err
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, `SELECT sum(balance) FROM account`).Scan(&b.balance); err != nil {
		return b, err
	}
	rows, err := db.QueryContext(ctx, `SELECT key, saga, step, direction FROM ledger`)
	if err != nil {
		return b, err
	}
	defer rows.Close()
	for rows.Next() {
		var l line
		if err := rows.Scan(&l.key, &l.saga, &l.step, &l.direction); err != nil {
			return b, err
		}
		b.lines = append(b.lines, l)
	}
	return b, rows.Err()
}

// tally is how a run of sagas went.
type tally struct {
	acked                int
	phases               map[contract.Phase]int // of those, in the store
	lost, doubled, stuck int
	found                []string
}

func (r *tally) say(kind *int, id contract.SagaID, format string, a ...any) {
	*kind++
	r.found = append(r.found, fmt.Sprintf("saga %s: ", id)+fmt.Sprintf(format, a...))
}

func (r *tally) String() string {
	return fmt.Sprintf("%d sagas acknowledged, %v; %d lost, %d doubled, %d stuck", r.acked, r.phases, r.lost, r.doubled, r.stuck)
}

// audit compares what callers were told, what the store in a data directory says,
// and what the bank did.
func audit(t *testing.T, data, bankDir string, runs []run) *tally {
	t.Helper()
	s, err := boltstore.Open(filepath.Join(data, server.StoreFile), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Verify(t.Context()); err != nil {
		t.Fatalf("verify the store: %v", err)
	}
	b, err := readBooks(t.Context(), bankDir)
	if err != nil {
		t.Fatal(err)
	}
	r := &tally{phases: map[contract.Phase]int{}}
	bySaga := map[contract.SagaID][]line{}
	for _, l := range b.lines {
		bySaga[l.saga] = append(bySaga[l.saga], l)
	}
	atRest := true
	for i := range runs {
		in, err := s.Load(t.Context(), runs[i].id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("load saga %s: %v", runs[i].id, err)
		}
		if in != nil {
			if what := unlike(t.Context(), s, transferMoney, in); what != "" {
				r.say(&r.lost, in.ID, "%s", what)
			}
			atRest = atRest && !in.Open()
		}
		r.one(&runs[i], in, bySaga[runs[i].id])
		delete(bySaga, runs[i].id)
	}
	for id := range bySaga {
		r.say(&r.lost, id, "nobody started it, and the bank has acted on it")
	}
	if atRest && b.balance != accounts*initial {
		r.say(&r.doubled, "", "all accounts together hold %d, and held %d on the first day", b.balance, int64(accounts*initial))
	}
	return r
}

// one judges a saga; in is nil if the store does not know it.
func (r *tally) one(told *run, in *machine.Instance, lines []line) {
	if told.wrong != "" {
		r.say(&r.lost, told.id, "its caller was given what no caller should get: %s", told.wrong)
	}
	if !told.acked.IsZero() {
		r.acked++
	}
	if in == nil {
		if !told.acked.IsZero() || len(lines) > 0 {
			r.say(&r.lost, told.id, "acknowledged or acted on, and the coordinator has never heard of it")
		}
		return
	}
	if !told.acked.IsZero() {
		r.phases[in.Phase]++
	}
	if !told.ended.IsZero() && (in.Revision < told.told.Revision || !told.told.Ended.IsZero() && in.Phase != told.told.Phase) {
		r.say(&r.lost, in.ID, "its caller was told %s at revision %d, and it is %s at %d", told.told.Phase, told.told.Revision, in.Phase, in.Revision)
	}
	if in.Open() {
		r.say(&r.stuck, in.ID, "still %s", in.Phase)
	}
	if in.Phase == contract.Completed && told.input.Refuse {
		r.say(&r.doubled, in.ID, "completed, though its pivot must have said no")
	}
	keys, net := map[string]int{}, map[string]int{}
	for _, l := range lines {
		if keys[l.key]++; keys[l.key] == 2 {
			r.say(&r.doubled, in.ID, "key %s took effect twice", l.key)
		}
		if l.direction == string(contract.DirectionUndo) {
			net[l.step]--
		} else {
			net[l.step]++
		}
	}
	want, ended := map[contract.Phase]int{contract.Completed: 1, contract.Compensated: 0}[in.Phase]
	for _, step := range steps {
		if ended && net[step] != want {
			r.say(&r.doubled, in.ID, "%s, and the net effect of step %s is %d", in.Phase, step, net[step])
		}
	}
}

// unlike says how a saga's history differs from its state; "" if it does not (I8).
func unlike(ctx context.Context, s *boltstore.Store, def *saga.Definition, in *machine.Instance) string {
	events, err := history(ctx, s, in)
	if err != nil {
		return err.Error()
	}
	folded, err := machine.Fold(def.Plan(), events)
	if err != nil {
		return fmt.Sprintf("its history does not fold: %v", err)
	}
	if diff := cmp.Diff(*in, folded, cmpopts.EquateEmpty()); diff != "" {
		return "its history folds to another state (-stored +folded):\n" + diff
	}
	return ""
}

// history reads all events of a saga.
func history(ctx context.Context, s *boltstore.Store, in *machine.Instance) (events []machine.Event, err error) {
	for uint64(len(events)) < in.Revision {
		page, err := s.History(ctx, in.ID, uint64(len(events))+1, 0)
		if err != nil || len(page) == 0 {
			return nil, fmt.Errorf("its history ends at revision %d, and it is at %d (%w)", len(events), in.Revision, err)
		}
		events = append(events, page...)
	}
	return events, nil
}

// report logs a tally and fails the test if anything was found.
func (r *tally) report(t *testing.T) {
	t.Helper()
	t.Log(r)
	for _, what := range r.found[:min(len(r.found), 10)] {
		t.Error(what)
	}
	if r.acked == 0 || r.phases[contract.Completed] == 0 || r.phases[contract.Compensated] == 0 {
		t.Errorf("%s: a run in which nothing completes or nothing goes back shows little", r)
	}
}

// TestAuditCanFail: each thing that may be wrong is found, and a clean saga is
// clean.
func TestAuditCanFail(t *testing.T) {
	done := func(what ...string) (lines []line) {
		for _, w := range what {
			step, direction, _ := strings.Cut(w, " ")
			if direction == "" {
				direction = string(contract.DirectionDo)
			}
			lines = append(lines, line{key: w, step: step, direction: direction})
		}
		return lines
	}
	all := done(steps...)
	for name, c := range map[string]struct {
		acked, refuse bool
		phase         contract.Phase
		lines         []line
		want          tally
	}{
		"completed":              {true, false, contract.Completed, all, tally{}},
		"compensated":            {true, false, contract.Compensated, done("reserve", "reserve "+string(contract.DirectionUndo)), tally{}},
		"never acknowledged":     {false, false, "", nil, tally{}},
		"lost":                   {true, false, "", nil, tally{lost: 1}},
		"acted on, but unknown":  {false, false, "", all, tally{lost: 1}},
		"stuck":                  {true, false, contract.Running, all[:1], tally{stuck: 1}},
		"a key twice":            {true, false, contract.Completed, append(done(steps...), all[0]), tally{doubled: 2}},
		"an effect is missing":   {true, false, contract.Completed, all[1:], tally{doubled: 1}},
		"not undone":             {true, false, contract.Compensated, all[:1], tally{doubled: 1}},
		"completed against a no": {true, true, contract.Completed, all, tally{doubled: 1}},
	} {
		told := &run{id: "w", input: transfer{Refuse: c.refuse}}
		if c.acked {
			told.acked = told.acked.Add(1)
		}
		var in *machine.Instance
		if c.phase != "" {
			in = &machine.Instance{ID: "w", Phase: c.phase, Revision: 1}
			if c.phase != contract.Running {
				in.Ended = in.Ended.Add(1)
			}
		}
		got := &tally{phases: map[contract.Phase]int{}}
		got.one(told, in, c.lines)
		if got.lost != c.want.lost || got.doubled != c.want.doubled || got.stuck != c.want.stuck {
			t.Errorf("%s: found %v, expected %v", name, got.found, c.want.String())
		}
	}
}
