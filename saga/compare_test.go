package saga_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/saga"
)

// compared parses a definition with these nodes, and with additional fields at its head.
func compared(t interface{ Fatal(...any) }, head, nodes string) *saga.Definition {
	d, err := saga.ParseJSON([]byte(`{"name":"shop","version":1,` + head + `"steps":[` + nodes + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func leaf(name, more string) string {
	return fmt.Sprintf(`{"step":{"name":%q,"kind":"retriable","do":{"participant":"p","action":"a"%s}}}`, name, more)
}

func parallel(nodes ...string) string { return `{"parallel":[` + strings.Join(nodes, ",") + `]}` }

func lines(found []saga.Difference) string {
	var b strings.Builder
	for _, d := range found {
		fmt.Fprintf(&b, "%s %s %q %q\n", d.Path, d.Change, d.From, d.To)
	}
	return b.String()
}

func TestCompare(t *testing.T) {
	a, b, c := leaf("a", ""), leaf("b", ""), leaf("c", "")
	series := func(nodes ...string) string { return strings.Join(nodes, ",") }
	for name, tt := range map[string]struct {
		from, to         string
		fromHead, toHead string
		want             string
	}{
		"nothing":             {from: series(a, b), to: series(a, b)},
		"a default said":      {from: a, to: leaf("a", `,"timeout":"30s","retry":{"attempts":20}`)},
		"timeout":             {from: a, to: leaf("a", `,"timeout":"45s"`), want: "steps/a/do/timeout changed \"30s\" \"45s\"\n"},
		"timeout of all":      {from: series(a, b), to: series(a, b), toHead: `"timeout":"45s",`, want: "steps/a/do/timeout changed \"30s\" \"45s\"\nsteps/b/do/timeout changed \"30s\" \"45s\"\n"},
		"deadline":            {from: a, to: a, toHead: `"deadline":"1h",`, want: "deadline added \"\" \"1h\"\n"},
		"input":               {from: a, to: a, fromHead: `"input":{"x":"int"},`, toHead: `"input":{"x":"string"},`, want: "input changed \"{\\\"x\\\":\\\"int\\\"}\" \"{\\\"x\\\":\\\"string\\\"}\"\n"},
		"mapping":             {from: a, to: leaf("a", `,"with":"{\"k\": 1}"`), want: "steps/a/do/with added \"\" \"{\\\"k\\\": 1}\"\n"},
		"added":               {from: series(a, c), to: series(a, b, c), want: "steps/b added \"\" \"behind a\"\n"},
		"removed":             {from: series(a, b, c), to: series(a, c), want: "steps/b removed \"behind a\" \"\"\n"},
		"last removed":        {from: series(a, b, c), to: series(a, b), want: "steps/c removed \"behind b\" \"\"\n"},
		"renamed":             {from: a, to: b, want: "steps/b added \"\" \"first\"\nsteps/a removed \"first\" \"\"\n"},
		"moved to the end":    {from: series(a, b, c), to: series(b, c, a), want: "steps/a moved \"first\" \"behind c\"\n"},
		"put beside":          {from: series(a, b, c), to: series(a, parallel(b, c)), want: "steps/b moved \"behind a\" \"behind a, beside c\"\n"},
		"branches exchanged":  {from: parallel(a, b), to: parallel(b, a)},
		"grouped for nothing": {from: series(a, b), to: `{"sequence":[` + series(a, b) + `]}`},
		"kind and undo": {
			from: `{"step":{"name":"a","kind":"compensable","do":{"participant":"p","action":"a"},"undo":{"participant":"p","action":"u"}}}`,
			to:   `{"step":{"name":"a","kind":"compensable","do":{"participant":"p","action":"a"},"nothingToUndo":true}}`,
			want: "steps/a/undo removed \"p u\" \"\"\nsteps/a/nothingToUndo added \"\" \"true\"\n",
		},
	} {
		got := lines(saga.Compare(compared(t, tt.fromHead, tt.from), compared(t, tt.toHead, tt.to)))
		if got != tt.want {
			t.Errorf("%s: found\n%swant\n%s", name, got, tt.want)
		}
	}
}

// TestCompareLaws checks that a definition does not differ from itself, that both directions give
// the same number of differences, and that no more steps are reported as moved than were really
// moved.
func TestCompareLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := strings.Split("abcdefg", "")
		draw := func(label string) (*saga.Definition, []string) {
			order := rapid.Permutation(names).Draw(t, label)[:rapid.IntRange(1, len(names)).Draw(t, label+" length")]
			nodes := make([]string, len(order))
			for i, n := range order {
				nodes[i] = leaf(n, rapid.SampledFrom([]string{"", `,"timeout":"7s"`}).Draw(t, label+" timeout"))
			}
			return compared(t, "", strings.Join(nodes, ",")), order
		}
		one, _ := draw("one")
		two, order := draw("two")
		if found := saga.Compare(one, one); len(found) != 0 {
			t.Fatalf("differs from itself: %s", lines(found))
		}
		there, back := saga.Compare(one, two), saga.Compare(two, one)
		kinds := func(found []saga.Difference, added, removed saga.Change) map[string]int {
			n := map[string]int{}
			for _, d := range found {
				n[map[saga.Change]string{added: "added", removed: "removed", saga.ChangeChanged: "changed"}[d.Change]]++
			}
			delete(n, "") // in the opposite direction, different steps may be reported as moved
			return n
		}
		if a, b := kinds(there, saga.ChangeAdded, saga.ChangeRemoved), kinds(back, saga.ChangeRemoved, saga.ChangeAdded); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("there\n%sback\n%s", lines(there), lines(back))
		}
		first := order[0]
		moved, _ := compared(t, "", strings.Join(leaves(append(slices.Clone(order[1:]), first)), ",")), 0
		found := saga.Compare(compared(t, "", strings.Join(leaves(order), ",")), moved)
		if want := min(len(order)-1, 1); len(found) != want {
			t.Fatalf("one step moved from the front to the end of %v: %s", order, lines(found))
		}
	})
}

func leaves(names []string) []string {
	nodes := make([]string, len(names))
	for i, n := range names {
		nodes[i] = leaf(n, "")
	}
	return nodes
}
