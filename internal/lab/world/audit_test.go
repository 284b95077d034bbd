//go:build linux && lab

package world

import (
	"slices"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
)

// TestAuditCanFail checks that the audit finds each kind of error, and nothing in a clean run.
func TestAuditCanFail(t *testing.T) {
	const id = "w00-000000"
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	good := []Line{
		{Key: "1", Saga: id, Step: "reserve", Direction: "do"}, {Key: "2", Saga: id, Step: "earmark", Direction: "do"},
		{Key: "3", Saga: id, Step: "credit", Direction: "do"}, {Key: "4", Saga: id, Step: "announce", Direction: "do"},
	}
	undone := []Line{good[0], {Key: "5", Saga: id, Step: "reserve", Direction: "undo"}}
	acked := Run{ID: id, Acked: t0, Ended: t0}
	acked.Told.Phase, acked.Told.Revision, acked.Told.Ended = contract.PhaseCompleted, 5, t0
	back := acked
	back.Told.Phase = contract.PhaseCompensated
	refused := acked
	refused.Input.Refuse = true
	asked := Run{ID: id}
	odd := acked
	odd.Wrong = "start answered: internal"
	done, gone := Fate{contract.PhaseCompleted, 5, true}, Fate{contract.PhaseCompensated, 5, true}
	for name, c := range map[string]struct {
		run   Run
		fate  *Fate
		lines []Line
		short int64 // missing money
		want  string
	}{
		"completed":                  {acked, &done, good, 0, ""},
		"compensated":                {back, &gone, undone, 0, ""},
		"never acknowledged, unseen": {asked, nil, nil, 0, ""},
		"parked":                     {asked, &Fate{contract.PhaseParked, 5, false}, good[:2], 7, "stuck"},
		"lost":                       {acked, nil, nil, 0, "lost"},
		"acted on, but unknown":      {asked, nil, good, 0, "lost"},
		"an older state":             {acked, &Fate{contract.PhaseCompleted, 4, true}, good, 0, "lost"},
		"another end":                {acked, &gone, undone, 0, "lost"},
		"an odd answer":              {odd, &done, good, 0, "lost"},
		"still running":              {asked, &Fate{contract.PhaseRunning, 5, false}, good[:2], 0, "stuck"},
		"a key twice":                {acked, &done, append(good[:4:4], good[1]), 0, "doubled"},
		"a key twice, evened out":    {back, &gone, []Line{good[0], good[0], undone[1], {Key: "6", Saga: id, Step: "reserve", Direction: "undo"}}, 0, "doubled"},
		"an effect is missing":       {acked, &done, good[1:], 0, "doubled"},
		"not undone":                 {back, &gone, good[:1], 0, "doubled"},
		"undone though completed":    {acked, &done, append(good[:4:4], undone[1], Line{Key: "6", Saga: id, Step: "reserve", Direction: "do"}), 0, "doubled"},
		"completed against a no":     {refused, &done, good, 0, "doubled"},
		"money is gone":              {acked, &done, good, 1, "doubled"},
		"a saga of nobody":           {asked, nil, []Line{{Key: "1", Saga: "other", Step: "reserve", Direction: "do"}}, 0, "lost"},
	} {
		fates := Fates{}
		if c.fate != nil {
			fates[id] = *c.fate
		}
		found := Audit([]Run{c.run}, fates, Books{Lines: c.lines, Balance: Initial - c.short, Opening: Initial})
		switch {
		case c.want == "" && len(found) > 0:
			t.Errorf("%s: found %v", name, found)
		case c.want != "" && !slices.ContainsFunc(found, func(f Finding) bool { return f.Kind == c.want }):
			t.Errorf("%s: found %v, expected something %s", name, found, c.want)
		}
	}
}
