//go:build linux && lab

package world

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
)

// Finding describes what is wrong with one saga, or with the whole system.
type Finding struct {
	Kind string // lost, doubled or stuck
	Saga contract.SagaID
	What string
}

// Lost returns a finding about a saga, or about the whole system if id is "".
func Lost(id contract.SagaID, what string) Finding { return Finding{"lost", id, what} }

// Stuck returns a finding about a saga, or about the whole system if id is "".
func Stuck(id contract.SagaID, what string) Finding { return Finding{"stuck", id, what} }

func (f Finding) String() string { return fmt.Sprintf("%s: saga %s: %s", f.Kind, f.Saga, f.What) }

// Fate is the state of a saga in the coordinator's store.
type Fate struct {
	Phase    contract.Phase
	Revision uint64
	Ended    bool
}

// Fates holds the state of each saga that the store knows.
type Fates map[contract.SagaID]Fate

// ReadStore reads every saga of a load from a store that no process has open. It checks that the
// saga's history folds to the saga's state (I8).
func ReadStore(ctx context.Context, file string, def *saga.Definition, runs []Run) (fates Fates, found []Finding, err error) {
	s, err := boltstore.Open(file, boltstore.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	if err := s.Verify(ctx); err != nil {
		return nil, nil, fmt.Errorf("verify the store: %w", err)
	}
	fates = Fates{}
	for i := range runs {
		id := runs[i].ID
		in, err := s.Load(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("load saga %s: %w", id, err)
		}
		fates[id] = Fate{Phase: in.Phase, Revision: in.Revision, Ended: !in.Open()}
		if what := Unlike(ctx, s, def, in); what != "" {
			found = append(found, Lost(id, what))
		}
	}
	return fates, found, nil
}

// Unlike returns how a saga's history differs from its state, or "" if the two agree.
func Unlike(ctx context.Context, s store.Store, def *saga.Definition, in *machine.Instance) string {
	events, err := History(ctx, s, in)
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

// History returns all events of a saga.
func History(ctx context.Context, s store.Store, in *machine.Instance) (events []machine.Event, err error) {
	for uint64(len(events)) < in.Revision {
		page, err := s.History(ctx, in.ID, uint64(len(events))+1, 0)
		if err != nil || len(page) == 0 {
			return nil, fmt.Errorf("its history ends at revision %d, and it is at %d (%w)", len(events), in.Revision, err)
		}
		events = append(events, page...)
	}
	return events, nil
}

// Audit compares what callers were told with the state in the store and the participants' effects.
func Audit(runs []Run, fates Fates, b Books) (found []Finding) {
	bySaga := map[contract.SagaID][]Line{}
	for _, l := range b.Lines {
		bySaga[l.Saga] = append(bySaga[l.Saga], l)
	}
	atRest := true
	for i := range runs {
		r := &runs[i]
		f, exists := fates[r.ID]
		atRest = atRest && (!exists || f.Ended)
		found = append(found, auditOne(r, f, exists, bySaga[r.ID])...)
		delete(bySaga, r.ID)
	}
	for id := range bySaga {
		found = append(found, Lost(id, "nobody started it, and participants have acted on it"))
	}
	if atRest && b.Balance != b.Opening {
		found = append(found, Finding{"doubled", "", fmt.Sprintf("all accounts together hold %d, and held %d on the first day", b.Balance, b.Opening)})
	}
	return found
}

// auditOne audits a saga. f is the saga's state in the store, if the saga exists there.
func auditOne(r *Run, f Fate, exists bool, lines []Line) (found []Finding) {
	say := func(kind, format string, args ...any) {
		found = append(found, Finding{kind, r.ID, fmt.Sprintf(format, args...)})
	}
	if r.Wrong != "" {
		say("lost", "its caller was given what no caller should get: %s", r.Wrong)
	}
	switch {
	case !exists && !r.Acked.IsZero():
		say("lost", "acknowledged, and the coordinator has never heard of it")
	case !exists && len(lines) > 0:
		say("lost", "the coordinator has never heard of it, and participants have acted on it")
	case exists && !f.Ended:
		say("stuck", "still %s", f.Phase)
	}
	if exists && !r.Ended.IsZero() && (f.Revision < r.Told.Revision || !r.Told.Ended.IsZero() && f.Phase != r.Told.Phase) {
		say("lost", "its caller was told %s at revision %d, and it is %s at %d", r.Told.Phase, r.Told.Revision, f.Phase, f.Revision)
	}
	if f.Phase == contract.PhaseCompleted && !r.Possible() {
		say("doubled", "completed, though a participant must have said no")
	}
	for _, what := range effects(f.Phase, lines) {
		say("doubled", "%s", what)
	}
	return found
}

// effects returns what is wrong with the participants' effects for a saga in the given phase (I3,
// I5).
func effects(phase contract.Phase, lines []Line) (wrong []string) {
	keys := map[string]int{}
	net := map[string]int{}
	undone := 0
	for _, l := range lines {
		keys[l.Key]++
		if l.Direction == string(contract.DirectionUndo) {
			net[l.Step]--
			undone++
		} else {
			net[l.Step]++
		}
	}
	for key, n := range keys {
		if n > 1 {
			wrong = append(wrong, fmt.Sprintf("key %s took effect %s", key, plural.Of(n, "time", "times")))
		}
	}
	want := map[contract.Phase]int{contract.PhaseCompleted: 1, contract.PhaseCompensated: 0}
	expected, ended := want[phase]
	if !ended {
		return wrong
	}
	for _, step := range steps {
		if net[string(step)] != expected {
			wrong = append(wrong, fmt.Sprintf("%s, and the net effect of step %s is %d", phase, step, net[string(step)]))
		}
	}
	if phase == contract.PhaseCompleted && undone > 0 {
		wrong = append(wrong, "completed, and something was undone")
	}
	slices.Sort(wrong)
	return wrong
}

// Result is the result of an audit.
type Result struct {
	Runs   []Run
	Acked  int
	Phases map[contract.Phase]int // acknowledged sagas, by their final phase
	Found  []Finding
}

func (r *Result) String() string {
	return fmt.Sprintf("%s acknowledged, %v, %s", plural.Of(r.Acked, "saga", "sagas"), r.Phases, plural.Of(len(r.Found), "finding", "findings"))
}

// Examine audits a store that no process has open, together with the participants' books below dir.
func Examine(ctx context.Context, file string, def *saga.Definition, runs []Run, dir string) (*Result, error) {
	fates, found, err := ReadStore(ctx, file, def, runs)
	if err != nil {
		return nil, err
	}
	b, err := ReadBooks(ctx, dir)
	if err != nil {
		return nil, err
	}
	r := &Result{Runs: runs, Phases: map[contract.Phase]int{}, Found: append(found, Audit(runs, fates, b)...)}
	for i := range runs {
		if !runs[i].Acked.IsZero() {
			r.Acked++
			r.Phases[fates[runs[i].ID].Phase]++
		}
	}
	return r, nil
}

// Report logs a result. It fails the test if there are findings or no saga was acknowledged.
func (r *Result) Report(t *testing.T) {
	t.Helper()
	t.Log(r)
	for _, f := range r.Found[:min(len(r.Found), 10)] {
		t.Error(f)
	}
	if r.Acked == 0 {
		t.Error("nothing was acknowledged: the test does not bite")
	}
}

// ReportBoth does the same as Report. It also fails the test unless some sagas have completed and
// some were compensated.
func (r *Result) ReportBoth(t *testing.T) {
	t.Helper()
	r.Report(t)
	if r.Phases[contract.PhaseCompleted] == 0 || r.Phases[contract.PhaseCompensated] == 0 {
		t.Errorf("%s: a run in which nothing completes or nothing goes back shows little", r)
	}
}
