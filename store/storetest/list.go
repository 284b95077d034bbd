package storetest

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
)

// spread creates 40 sagas of three definitions, two per second, so that every store.Class occurs.
func spread(t testing.TB, s store.Store) []*machine.Instance {
	t.Helper()
	refs := []contract.DefinitionRef{Checkout, {Name: "checkout", Version: 4}, {Name: "refund", Version: 1}}
	moves := [][]func(*machine.Instance, time.Time) store.Change{
		{},
		{Next, Reject},
		{Park},
		{Park, Abandon},
		{Next, Next, Next, Next},
		{Next, Reject, Next},
		{Next, Next},
	}
	var all []*machine.Instance
	for i := range 40 {
		c := Start(contract.SagaID(fmt.Sprintf("order-%02d", (i*7)%40)), refs[i%3], Epoch.Add(time.Duration(i/2)*time.Second))
		commit(t, s, c)
		for _, move := range moves[i%len(moves)] {
			c = move(c.Instance, c.Instance.Updated.Add(time.Minute))
			commit(t, s, c)
		}
		all = append(all, c.Instance)
	}
	return all
}

// expected returns the list that a filter should produce.
func expected(all []*machine.Instance, f store.Filter) []store.Summary {
	var list []store.Summary
	for _, in := range all {
		if f.Match(in) {
			list = append(list, store.Summarize(in))
		}
	}
	slices.SortFunc(list, func(a, b store.Summary) int {
		if c := b.Started.Compare(a.Started); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return list
}

func testPages(t *testing.T, h Harness) {
	s := h.Store
	list, _, err := listAll(t.Context(), s, store.Filter{}, 10)
	if err != nil || len(list) != 0 {
		t.Fatalf("list of an empty store: %v, %v", list, err)
	}
	all := spread(t, s)
	want := expected(all, store.Filter{})
	for _, limit := range []int{0, 1, 3, 39, 40, 41, store.MaxPage, store.MaxPage + 1, -1} {
		list, _, err := listAll(t.Context(), s, store.Filter{}, limit)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("pages of %d", limit), list, want)
	}
	// An unchanged saga must be listed once, whatever happens to the others.
	first, cursor, err := s.List(t.Context(), store.Filter{}, store.Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	begin(t, s, "newest", Epoch.Add(time.Hour))
	finish(t, s, all[0], Epoch.Add(time.Hour))
	rest, _, err := s.List(t.Context(), store.Filter{}, store.Page{Limit: 100, Cursor: cursor})
	if err != nil {
		t.Fatal(err)
	}
	got := map[contract.SagaID]int{}
	for _, sum := range append(first, rest...) {
		got[sum.ID]++
	}
	for _, in := range all {
		if got[in.ID] != 1 {
			t.Errorf("saga %s was listed %d times", in.ID, got[in.ID])
		}
	}
}

func testFilters(t *testing.T, h Harness) {
	s := h.Store
	all := spread(t, s)
	definition, err := define("checkout", 3, "")
	if err != nil {
		t.Fatal(err)
	}
	known := func(ref contract.DefinitionRef) *machine.Plan {
		if ref.Name != "checkout" {
			return nil
		}
		return definition.Plan()
	}
	ids := []contract.SagaID{"order-39", "order-05", "nobody", "order-05", "order-00"}
	late := Epoch.Add(time.Minute)
	// The expected sagas are listed explicitly, because the stores use Match themselves.
	for name, tt := range map[string]struct {
		filter store.Filter
		want   func(in *machine.Instance) bool
	}{
		"ids":    {store.Filter{IDs: ids}, func(in *machine.Instance) bool { return slices.Contains(ids, in.ID) }},
		"reason": {store.Filter{Reason: "NO SUCH"}, func(in *machine.Instance) bool { return in.Phase == contract.PhaseParked }},
		"cause":  {store.Filter{Reason: "declined"}, func(in *machine.Instance) bool { return in.Cause != nil }},
		"stuck":  {store.Filter{UpdatedBefore: late, OpenOnly: true}, func(in *machine.Instance) bool { return in.Updated.Before(late) }},
		"step": {store.Filter{Step: "reserve-stock", Plans: known}, func(in *machine.Instance) bool {
			return in.Definition.Name == "checkout" && in.Open() && in.Steps[0].Current().Command()+uint64(len(in.Steps[0].Current().Reason())) > 0
		}},
		"participant": {store.Filter{Participant: "shop", Plans: known}, func(in *machine.Instance) bool {
			return in.Definition.Name == "checkout" && in.Open() && in.Phase != contract.PhaseParked
		}},
		"stranger": {store.Filter{Participant: "bank", Plans: known}, func(*machine.Instance) bool { return false }},
		"no names": {store.Filter{Step: "reserve-stock"}, func(*machine.Instance) bool { return false }},
	} {
		want := expected(slices.DeleteFunc(slices.Clone(all), func(in *machine.Instance) bool { return !tt.want(in) }), store.Filter{})
		if len(want) == 0 != (name == "stranger" || name == "no names") {
			t.Fatalf("%s: %d sagas are expected", name, len(want))
		}
		for _, limit := range []int{1, 7, 1000} {
			list, _, err := listAll(t.Context(), s, tt.filter, limit)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			equal(t, fmt.Sprintf("%s, pages of %d", name, limit), list, want)
		}
	}
	filters := map[string]store.Filter{
		"definition":         {Definition: "checkout"},
		"version":            {Definition: "checkout", Version: 4},
		"version alone":      {Version: 1},
		"unknown definition": {Definition: "check"},
		"one phase":          {Phases: []contract.Phase{contract.PhaseParked}},
		"two phases":         {Phases: []contract.Phase{contract.PhaseRunning, contract.PhaseCompleted}},
		"all phases":         {Phases: []contract.Phase{contract.PhaseRunning, contract.PhaseCompensating, contract.PhaseCompleted, contract.PhaseCompensated, contract.PhaseParked}},
		"unknown phase":      {Phases: []contract.Phase{"asleep"}},
		"open":               {OpenOnly: true},
		"open and parked":    {OpenOnly: true, Phases: []contract.Phase{contract.PhaseParked}},
		"open and completed": {OpenOnly: true, Phases: []contract.Phase{contract.PhaseCompleted}},
		"prefix":             {IDPrefix: "order-1"},
		"whole id":           {IDPrefix: "order-17"},
		"prefix of none":     {IDPrefix: "order-5"},
		"strange prefix":     {IDPrefix: "\x00\xff"},
		"after":              {StartedAfter: Epoch.Add(5 * time.Second)},
		"before":             {StartedBefore: Epoch.Add(5 * time.Second)},
		"range":              {StartedAfter: Epoch.Add(3 * time.Second), StartedBefore: Epoch.Add(9 * time.Second)},
		"empty range":        {StartedAfter: Epoch.Add(9 * time.Second), StartedBefore: Epoch.Add(9 * time.Second)},
		"before 9999":        {StartedBefore: year(9999)},
		"after 9999":         {StartedAfter: year(9999)},
		"before 2263":        {StartedBefore: year(2263)}, // nanoseconds since 1970 overflow 64 bits
		"after 2263":         {StartedAfter: year(2263)},
		"before 1600":        {StartedBefore: year(1600)},
		"after 1600":         {StartedAfter: year(1600)},
		"before 1960":        {StartedBefore: year(1960)},
		"after 1960":         {StartedAfter: year(1960)},
		"after 2":            {StartedAfter: year(2)},
		"unmoved until 9999": {UpdatedBefore: year(9999)},
		"unmoved until 1600": {UpdatedBefore: year(1600)},
		"one instant":        {StartedAfter: Epoch.Add(9 * time.Second), StartedBefore: Epoch.Add(9*time.Second + 1)},
		"everything": {
			Definition: "checkout", Version: 3, Phases: []contract.Phase{contract.PhaseRunning, contract.PhaseParked}, IDPrefix: "order-",
			OpenOnly: true, StartedAfter: Epoch.Add(time.Second), StartedBefore: Epoch.Add(15 * time.Second),
		},
	}
	for name, f := range filters {
		for _, limit := range []int{1, 7, 1000} {
			list, _, err := listAll(t.Context(), s, f, limit)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			equal(t, fmt.Sprintf("%s, pages of %d", name, limit), list, expected(all, f))
		}
	}
}

func year(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }

func testCursors(t *testing.T, h Harness) {
	s := h.Store
	spread(t, s)
	filter := store.Filter{Definition: "checkout"}
	_, good, err := s.List(t.Context(), filter, store.Page{Limit: 3})
	if err != nil || good == "" {
		t.Fatalf("no cursor: %v", err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatalf("a cursor is base64url: %v", err)
	}
	flip := func(i int) string {
		b := slices.Clone(raw)
		b[i] ^= 1
		return base64.RawURLEncoding.EncodeToString(b)
	}
	bad := []string{
		"x", " ", "!!", good + "A", good[1:], good[:len(good)-1], "AAAA", strings.Repeat("A", 1<<20), "order-1",
		good + "=", strings.ToUpper(good), "\x00", "../../etc/passwd", "' OR 1=1",
	}
	for i := range raw {
		bad = append(bad, flip(i))
	}
	for _, cursor := range bad {
		_, _, err := s.List(t.Context(), filter, store.Page{Cursor: cursor})
		wantError(t, fmt.Sprintf("cursor %.40q", cursor), err, store.ErrCursor)
	}
	_, _, err = s.List(t.Context(), store.Filter{Definition: "refund"}, store.Page{Cursor: good})
	wantError(t, "cursor of another filter", err, store.ErrCursor)
	if _, _, err := s.List(t.Context(), filter, store.Page{Cursor: good}); err != nil {
		t.Fatalf("a good cursor: %v", err)
	}
}

func testCounts(t *testing.T, h Harness) {
	s := h.Store
	check := func(s store.Store, all []*machine.Instance) {
		t.Helper()
		got, err := s.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		type key struct {
			contract.DefinitionRef
			contract.Phase
		}
		want := map[key][2]int{} // number of sagas, and number of ended sagas
		for _, in := range all {
			n := want[key{in.Definition, in.Phase}]
			n[0]++
			if !in.Open() {
				n[1]++
			}
			want[key{in.Definition, in.Phase}] = n
		}
		have := map[key][2]int{}
		for i, c := range got {
			have[key{c.Definition, c.Phase}] = [2]int{c.Sagas, c.Ended}
			if i > 0 && fmt.Sprint(got[i-1].Definition, got[i-1].Phase) >= fmt.Sprint(c.Definition, c.Phase) {
				t.Errorf("counts are not in order: %v", got)
			}
		}
		equal(t, "counts", have, want)
	}
	check(s, nil)
	all := spread(t, s)
	check(s, all)
	commitOne(t, s, Start(all[0].ID, Checkout, Epoch)) // a change that conflicts must not be counted
	check(s, all)
	check(h.Reopen(t), all)
}
