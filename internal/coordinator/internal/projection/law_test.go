package projection

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
)

// history generates everything that happens to a saga id: consecutive sagas with this id, each with
// a sequence of changes.
func history(t *rapid.T, id contract.SagaID) (all []Change) {
	lives := rapid.IntRange(1, 2).Draw(t, "lives")
	for birth := 1; birth <= lives; birth++ {
		before := contract.Phase("")
		changes := rapid.IntRange(1, 6).Draw(t, "changes")
		for revision := 1; revision <= changes; revision++ {
			c := Change{
				Standing: Standing{
					Saga: id, Birth: contract.Birth(birth), Revision: uint64(revision), Phase: contract.PhaseRunning, Open: true,
					Definition: contract.DefinitionRef{Name: "shop", Version: birth},
				},
				Event: contract.EventTimerFired, Before: before, Started: time.Unix(int64(birth), 0), At: time.Unix(1000, 0),
			}
			switch {
			case revision == 1:
				c.Event = contract.EventStarted
			case revision == changes && (birth < lives || rapid.Bool().Draw(t, "ends")):
				c.Open = false
				c.Phase = rapid.SampledFrom([]contract.Phase{contract.PhaseCompleted, contract.PhaseCompensated, contract.PhaseParked}).Draw(t, "end")
			default:
				c.Phase = rapid.SampledFrom([]contract.Phase{contract.PhaseRunning, contract.PhaseCompensating, contract.PhaseParked}).Draw(t, "phase")
				c.Paused = rapid.Bool().Draw(t, "paused")
			}
			if birth < lives && changes == 1 {
				c.Open, c.Phase = false, contract.PhaseCompleted
			}
			before = c.Phase
			c.State = fmt.Sprint(id, "/", birth, "/", revision)
			all = append(all, c)
		}
	}
	return all
}

// rest reports whether a saga is at rest after a change.
func rest(c *Change) bool {
	return !c.Open || c.Phase != contract.PhaseRunning && c.Phase != contract.PhaseCompensating
}

// seen is the model's knowledge of a saga: which of its changes were applied.
type seen struct {
	history []Change
	given   []int // in the order in which they were applied
	newest  int   // indexes, in the order of application
	records []int // indexes of the changes that were newer than all earlier ones
}

// TestReadingsFollowFromWhatWasApplied checks that all queries answer with the newest change of
// each saga. Changes are applied in any order: repeated, late or with gaps.
func TestReadingsFollowFromWhatWasApplied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.IntRange(1, 3).Draw(t, "parts")
		sagas := rapid.IntRange(1, 5).Draw(t, "sagas")
		model := map[contract.SagaID]*seen{}
		var ids []contract.SagaID
		for i := range sagas {
			id := contract.SagaID(fmt.Sprint("s", i))
			ids = append(ids, id)
			model[id] = &seen{history: history(t, id), newest: -1}
		}
		p := New(parts, func(id contract.SagaID) int { return int(id[1]-'0') % parts }, time.Unix(0, 0))
		begin := p.Position()
		type one struct {
			w        *Waiter
			id       contract.SagaID
			answers  []string
			expected string // "" while the waiter has not been answered
		}
		var waiting []*one
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			id := rapid.SampledFrom(ids).Draw(t, "saga")
			m := model[id]
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				w := &one{id: id}
				var moving bool
				w.w, moving = p.Wait(id, "me", func(c *Change) {
					if c == nil {
						w.answers = append(w.answers, "closed")
						return
					}
					w.answers = append(w.answers, c.State.(string))
				})
				waiting = append(waiting, w)
				if want := m.newest >= 0 && !rest(&m.history[m.newest]); moving != want {
					t.Fatalf("%s moves: %t", id, moving)
				}
			case 1:
				if len(waiting) > 0 {
					w := waiting[rapid.IntRange(0, len(waiting)-1).Draw(t, "waiter")]
					there := w.expected == ""
					if w.w.Remove() != there {
						t.Fatalf("a waiter of %s was there: %t", w.id, !there)
					}
					if there {
						w.expected = "removed"
					}
				}
			default:
				// Mostly the next change; sometimes any change: repeated, late, or with a gap.
				k := m.newest + 1
				if k == len(m.history) || rapid.IntRange(0, 3).Draw(t, "any") == 0 {
					k = rapid.IntRange(0, len(m.history)-1).Draw(t, "change")
				}
				c := m.history[k]
				m.given = append(m.given, k)
				if k > m.newest {
					m.newest = k
					m.records = append(m.records, k)
				}
				if k == m.newest && rest(&c) {
					for _, w := range waiting {
						if w.id == id && w.expected == "" {
							w.expected = c.State.(string)
						}
					}
				}
				p.Of(id).Apply([]Change{c})
			}
		}
		open, paused, transitions := 0, 0, int64(0)
		for _, id := range ids {
			m := model[id]
			if m.newest < 0 {
				continue
			}
			newest := &m.history[m.newest]
			first := &m.history[m.given[0]]
			open += count(newest.Open) - count(first.Before != "") // a saga first seen later was counted at the start
			paused += count(newest.Open && newest.Paused)
			transitions += int64(len(m.records))
			if s, moving := p.Moving(id); moving == rest(newest) || moving && s != newest.Standing {
				t.Fatalf("%s moves: %t, %+v; it is %+v", id, moving, s, newest)
			}
		}
		if p.Open() != open {
			t.Fatalf("%d are open, want %d", p.Open(), open)
		}
		if n, _ := p.Paused(); n != paused {
			t.Fatalf("%d are paused, want %d", n, paused)
		}
		counted := int64(0)
		for _, s := range p.Figures(time.Unix(1000, 0)).Series {
			counted += s.Transitions
		}
		if counted != transitions {
			t.Fatalf("%d transitions are counted, want %d", counted, transitions)
		}
		checkFeed(t, p, begin, model)
		p.Close()
		for _, w := range waiting {
			if w.expected == "" {
				w.expected = "closed"
			}
			if got := fmt.Sprint(w.answers); w.expected == "removed" && len(w.answers) > 0 || w.expected != "removed" && got != "["+w.expected+"]" {
				t.Fatalf("who waits for %s is answered %s, want %s once", w.id, got, w.expected)
			}
		}
		if p.Waiting() != 0 {
			t.Fatalf("%d wait after the end", p.Waiting())
		}
	})
}

// checkFeed checks that watchers get every recorded change in order, and the number of missed
// changes in between.
func checkFeed(t *rapid.T, p *Projection, begin Position, model map[contract.SagaID]*seen) {
	moves, end, foreign := p.Since(begin)
	if foreign || end != p.Position() {
		t.Fatalf("foreign %t, the end is %v", foreign, end)
	}
	told := map[contract.SagaID][]Move{}
	for i, m := range moves {
		if m.At != uint64(i+1) {
			t.Fatalf("move %d has the number %d", i+1, m.At)
		}
		told[m.Saga] = append(told[m.Saga], m)
	}
	missed := false
	for id, m := range model {
		if len(told[id]) != len(m.records) {
			t.Fatalf("of %s %d moves are told, want %d", id, len(told[id]), len(m.records))
		}
		for i, k := range m.records {
			move, c := told[id][i], &m.history[k]
			before, between := c.Before, uint64(0)
			if i > 0 {
				last := &m.history[m.records[i-1]]
				between = c.Revision - 1 // a later saga with this id: all its earlier changes
				if last.Birth == c.Birth {
					between -= last.Revision
				}
				if between > 0 {
					before = last.Phase
				}
			}
			missed = missed || between > 0
			if move.Missed != between || move.Before != before || move.Definition != c.Definition || !move.Started.Equal(c.Started) {
				t.Fatalf("told %+v of %+v; %d were missed, before it was %q", move, c, between, before)
			}
		}
	}
	if p.Doubted() != missed {
		t.Fatalf("in doubt: %t; something was missed: %t", p.Doubted(), missed)
	}
}

// TestNoWaiterMissesRest checks that a waiter that registers before reading the saga is always
// notified, although the projection learns of stored changes later. A removed waiter is not
// answered.
func TestNoWaiterMissesRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := New(1, func(contract.SagaID) int { return 0 }, time.Unix(0, 0))
		all := history(t, "s0")
		stored, applied := 0, 0 // numbers of changes
		answers, waits := map[*Waiter]int{}, 0
		look := func(w *Waiter) {
			if stored > 0 && rest(&all[stored-1]) && w.Remove() {
				answers[w]++
			}
		}
		var all2 []*Waiter
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				if stored < len(all) {
					stored++
				}
			case 1:
				if applied < stored {
					// Sometimes apply everything stored so far as one batch.
					batch := all[applied : applied+1]
					if rapid.Bool().Draw(t, "batch") {
						batch = all[applied:stored]
					}
					applied += len(batch)
					p.Part(0).Apply(slices.Clone(batch))
				}
			case 2:
				waits++
				var w *Waiter
				w, moving := p.Wait("s0", "me", func(c *Change) {
					if c != nil {
						answers[w]++
					}
				})
				all2 = append(all2, w)
				if !moving {
					look(w)
				}
			}
		}
		p.Part(0).Apply(slices.Clone(all[applied:stored]))
		for _, w := range all2 {
			atRest := stored > 0 && rest(&all[stored-1])
			if answers[w] > 1 || atRest && answers[w] != 1 {
				t.Fatalf("one is answered %d times; the saga is at rest: %t", answers[w], atRest)
			}
		}
	})
}
