package mapping

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/datatest"
	"github.com/amends-dev/amends/saga/internal/schema"
	"github.com/amends-dev/amends/saga/machine"
)

// worth is an expression whose work is at least proportional to n, with its data.
type worth struct {
	name string
	with string
	data func(n int) string
}

func ones(n int) string { return "[" + strings.Repeat("1,", n-1) + "1]" }

func fieldsOf(n int) string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf(`"k%d":%d`, i, i)
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func text(n int) string { return `"` + strings.Repeat("0", n) + `"` }

// worths returns one expression for each kind of work that an evaluation can do.
func worths() []worth {
	list := func(n int) string { return `{"l":` + ones(n) + `}` }
	doubles := func(n int) string { return `{"l":` + strings.ReplaceAll(ones(n), ",", ".0,") + `}` }
	long := func(n int) string { return `{"s":` + text(100*n) + `}` }
	ten := func(of string) string { return `[1,2,3,4,5,6,7,8,9,10].map(x, ` + of + `)` }
	return []worth{
		{"a loop", `input.l.map(x, x + 1)`, list},
		{"a filter", `input.l.filter(x, x == 1)`, list},
		{"all", `input.l.all(x, x == 1)`, list},
		{"maps that are made", `input.l.map(x, {"a": x})`, list},
		{"objects that are read", `input.l.map(x, x.a)`, func(n int) string { return `{"l":[` + strings.Repeat(`{"a":1},`, n-1) + `{"a":1}]}` }},
		{"keys of a map", `input.m.map(k, input.m[k])`, func(n int) string { return `{"m":` + fieldsOf(n) + `}` }},
		{"the size of a text", ten(`size(input.s)`), long},
		{"the number in a text", ten(`int(input.s)`), long},
		{"the double in a text", ten(`double(input.s)`), long},
		{"bytes of a text", ten(`size(bytes(input.s))`), long},
		{"texts that are added", ten(`size(input.s + input.s)`), long},
		{"texts that are compared", ten(`input.s < input.s`), long},
		{"equal texts", ten(`input.s == input.s`), long},
		{"a text in a text", ten(`input.s.contains("1")`), long},
		{"the end of a text", ten(`input.s.endsWith(input.s)`), long},
		{"a pattern", ten(`input.s.matches("^(0|00|000)*1$")`), func(n int) string { return `{"s":` + text(n) + `}` }},
		{"equal lists in lists", ten(`input.a == input.a`), func(n int) string { return `{"a":[[` + ones(n) + `]]}` }},
		{"equal maps in maps", ten(`input.a == input.b`), func(n int) string { return fmt.Sprintf(`{"a":{"x":%s},"b":{"x":%[1]s}}`, fieldsOf(n)) }},
		{"an item in a list", ten(`2 in input.l`), list},
		{"equal lists of numbers with a text", ten(`input.l == input.l`), doubles},
		{"equal maps of numbers with a text", ten(`input.m == input.m`), func(n int) string { return `{"m":` + strings.ReplaceAll(fieldsOf(n), ",", ".0,") + `}` }},
		{"an item in a list of numbers with a text", ten(`2.5 in input.l`), doubles},
		{"lists that are added", ten(`size(input.l + input.l)`), list},
		{"a loop in a loop", `input.l.all(x, input.l.all(y, x == y))`, func(n int) string { return `{"l":` + ones(n/10) + `}` }},
		{"long keys of maps that are made", ten(`size({input.s: 1})`), long},
		{"optional values", `input.l.map(x, {?"a": optional.of(x)})`, list},
		{"times", `input.l.map(x, timestamp("2026-01-02T03:04:05Z") + duration("1h"))`, list},
	}
}

// pinned holds the costs of the worths with n = 100. They decide whether a mapping fails for some
// data, and therefore recorded decisions, so they must not change even if cel-go does (I8).
var pinned = map[string]int{
	"a loop":                                   1513,
	"a filter":                                 1613,
	"all":                                      503,
	"maps that are made":                       5013,
	"objects that are read":                    1513,
	"keys of a map":                            1613,
	"the size of a text":                       1751,
	"the number in a text":                     1751,
	"the double in a text":                     1751,
	"bytes of a text":                          3321,
	"texts that are added":                     6461,
	"texts that are compared":                  3331,
	"equal texts":                              3331,
	"a text in a text":                         1751,
	"the end of a text":                        3331,
	"a pattern":                                1891,
	"equal lists in lists":                     2271,
	"equal maps in maps":                       4271,
	"an item in a list":                        1201,
	"equal lists of numbers with a text":       2231,
	"equal maps of numbers with a text":        4231,
	"an item in a list of numbers with a text": 1201,
	"lists that are added":                     2221,
	"a loop in a loop":                         663,
	"optional values":                          5113,
	"long keys of maps that are made":          2111,
	"times":                                    2213,
}

// TestCostFollowsWork checks that more work of any kind costs more, so that the bound on the cost
// also bounds the work and the memory.
func TestCostFollowsWork(t *testing.T) {
	costOf := func(t *testing.T, w worth, n int) int {
		t.Helper()
		mapped, err := second(nil, w.with)
		if err != nil {
			t.Fatal(err)
		}
		e := evaluation{Mapping: mapped, input: []byte(w.data(n)), results: func(int) []byte { return nil }, most: contract.MaxPayload}
		if _, err := e.run(e.program); err != nil && e.cost == 0 {
			t.Fatal(err)
		}
		return e.cost
	}
	for _, w := range worths() {
		t.Run(w.name, func(t *testing.T) {
			small, large := costOf(t, w, 100), costOf(t, w, 1000)
			if large < 5*small {
				t.Errorf("ten times the work costs %d, and not %d", large, small)
			}
			if small != pinned[w.name] {
				t.Errorf("it costs %d, and was recorded with %d", small, pinned[w.name])
			}
		})
	}
	t.Run("equal objects", func(t *testing.T) {
		object := &schema.Schema{Kind: schema.Object, Fields: map[string]*schema.Schema{"l": {Kind: schema.List, Items: &schema.Schema{Kind: schema.Int}}}}
		mapped, err := second(&schema.Schema{Kind: schema.Object, Fields: map[string]*schema.Schema{"a": object}}, `[1,2,3,4,5].map(x, input.a == input.a)`)
		if err != nil {
			t.Fatal(err)
		}
		var costs []int
		for _, n := range []int{100, 1000} {
			e := evaluation{Mapping: mapped, input: []byte(`{"a":{"l":` + ones(n) + `}}`), most: contract.MaxPayload}
			if _, err := e.run(e.program); err != nil {
				t.Fatal(err)
			}
			costs = append(costs, e.cost)
		}
		if costs[1] < 5*costs[0] {
			t.Errorf("ten times the work costs %d, and not %d", costs[1], costs[0])
		}
	})
	pattern := worth{with: `input.l.all(x, "a".matches(input.p) || true)`, data: func(int) string { return `{"l":` + ones(100) + `,"p":"b"}` }}
	if cost := costOf(t, pattern, 1); cost < 100*maxRegex {
		t.Errorf("compiling 100 expressions costs %d", cost)
	}
	for _, n := range []int{10, 100} { // items that the expression itself contains
		for _, literal := range []string{"[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]", strings.ReplaceAll(fieldsOf(n), `"`, `'`)} {
			w := worth{with: `input.l.all(x, size(` + literal + `) > 0)`, data: func(int) string { return `{"l":` + ones(100) + `}` }}
			if cost := costOf(t, w, 1); cost < 100*n {
				t.Errorf("%d items that are made 100 times cost %d", n, cost)
			}
		}
	}
}

// TestCostIsBounded checks that an expensive evaluation ends at the bound or soon after it: one
// further operation costs at most as much as the data of a saga allows.
func TestCostIsBounded(t *testing.T) {
	most := contract.MaxPayload / 2
	for _, with := range []string{
		`[[1,2,3,4]]` + strings.Repeat(".map(x, x + x)", 40),
		`input.l` + strings.Repeat(" + input.l", 90),
		`[input.s]` + strings.Repeat(".map(x, x + x)", 40),
		`input.l.map(x, input.l.map(y, input.l.map(z, x + y + z)))`,
		`input.l.all(x, input.s.matches("(a{1,200}b)*$") || true)`,
		`input.l.all(x, input.s.matches(input.p) || true)`,
		`input.l.all(x, input.l == input.l)`,
		`input.l.all(x, size(input.s) > 0)`,
	} {
		mapped, err := second(nil, with)
		if err != nil {
			t.Fatal(err)
		}
		input := fmt.Sprintf(`{"l":%s,"s":%s,"p":"(x?a?a?a?a?a?a?a?)*y"}`, ones(most/4), text(most/2))
		e := evaluation{Mapping: mapped, input: []byte(input), results: func(int) []byte { return nil }, most: contract.MaxPayload}
		_, err = e.run(e.program)
		if err == nil || !strings.Contains(mapped.failed(err).Error(), "exceeds its cost limit") {
			t.Errorf("%s: %.100v, at a cost of %d", with, err, e.cost)
		}
	}
}

// TestEstimate checks that an expression which always costs too much is refused when it is defined,
// and that one which does so for much data is noted.
func TestEstimate(t *testing.T) {
	const ten = `[1,2,3,4,5,6,7,8,9,10]`
	nested := func(n int, of string) string {
		with := "1"
		for i := range n {
			with = fmt.Sprintf("%s.map(v%d, %s)", of, i, with)
		}
		return with
	}
	for _, tt := range []struct {
		with          string
		refused, note bool
	}{
		{`{"id": input.id, "lines": input.lines.map(l, {"sku": l.sku, "n": l.n * 2, "price": double(l.price)})}`, false, false},
		{`input.lines.filter(l, l.n > 1).map(l, l.sku)`, false, false},
		{`input.s.matches("^[a-z]+$") ? input.s : "none"`, false, false},
		{nested(2, `input.lines`), false, true},
		{`input.lines.all(l, result.step_one.lines.exists(m, m.sku == l.sku))`, false, true},
		{nested(3, ten), false, false},
		{nested(6, ten), true, false},
		{`input.hurry ? dyn(1) : dyn(` + nested(6, ten) + `)`, false, true},
	} {
		_, notes, err := noted(nil, tt.with)
		if refused := err != nil && strings.Contains(err.Error(), "whatever the data"); refused != tt.refused || err != nil && !refused {
			t.Errorf("%s: refused %v: %v", tt.with, refused, err)
			continue
		}
		if err != nil {
			continue
		}
		if noted := len(notes) == 1; noted != tt.note {
			t.Errorf("%s: %v", tt.with, notes)
		}
	}
}

// TestEstimateIsALowerBound checks that a completed evaluation costs at least the lower estimate.
func TestEstimateIsALowerBound(t *testing.T) {
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		for range 10 {
			var c datatest.Canaries
			with := datatest.Expression(t, 3, nil)
			mapped, err := second(nil, with)
			if err != nil {
				continue
			}
			m := mapped
			input, result := c.Document(t), c.Document(t)
			e := evaluation{Mapping: m, input: []byte(input), results: func(int) []byte { return []byte(result) }, most: contract.MaxPayload}
			if _, err := e.run(e.program); err != nil {
				continue
			}
			compared++
			if e.cost < m.least {
				t.Fatalf("%s costs %d, and at least %d are estimated; of %s and %s", with, e.cost, m.least, input, result)
			}
		}
	})
	if compared < 50 && !testing.Short() { // which runs fewer cases
		t.Errorf("%d were evaluated", compared)
	}
}

// BenchmarkCost measures the time of one unit of cost. It includes reading the data, so cheap
// expressions appear expensive here.
func BenchmarkCost(b *testing.B) {
	for _, w := range worths() {
		b.Run(w.name, func(b *testing.B) {
			mapped, err := second(nil, w.with)
			if err != nil {
				b.Fatal(err)
			}
			input, cost := []byte(w.data(2000)), 0
			for b.Loop() {
				e := evaluation{Mapping: mapped, input: input, results: func(int) []byte { return nil }, most: contract.MaxPayload}
				_, _ = e.run(e.program)
				cost = e.cost
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(cost), "ns/unit")
			b.ReportMetric(float64(cost), "units")
		})
	}
}

// TestPatternsAreReadWithinBounds checks the cost of parsing regular expressions. It depends on
// their classes and repetitions, which a few bytes can make large. A pattern from the data must be
// paid for before it is parsed, and an expensive one must not be parsed between other decisions.
func TestPatternsAreReadWithinBounds(t *testing.T) {
	wide := func(n int) string { return "(?i)" + strings.Repeat(`[B-\x{1ffff}]`, n) }
	for _, tt := range []struct {
		pattern       string
		refused, slow bool // refused always; refused in a quick evaluation
	}{
		{`^[a-z]+$`, false, false},
		{`(?i)^[a-z0-9-]+$`, false, false},
		{`(?i)[\x{41}-\x{5a}À-ÿ]`, false, false},
		{`^\pL+$`, false, false},
		{`^[\pL\pN\p{Greek}]+$`, false, true},
		{wide(1), false, true},
		{wide(50), true, true},
		{`(?mi:[` + strings.Repeat(`B-𞥃`, 100) + `])`, true, true},
		{`(?si-m)[` + strings.Repeat(`B-𞥃`, 100) + `]`, true, true},
		{strings.Repeat(`[\pL\PN]`, 100), true, true},
		{strings.Repeat(`((a{10}){10}){10}`, 50), true, false},
		{strings.Repeat(`(a{1000})`, 100), true, false},
	} {
		_, err := compile(tt.pattern)
		if (err != nil) != tt.refused {
			t.Errorf("%.40s: refused: %v", tt.pattern, err)
		}
		_, err = second(nil, fmt.Sprintf(`input.s.matches(%q)`, tt.pattern))
		if (err != nil) != tt.refused {
			t.Errorf("%.40s, written out: refused: %v", tt.pattern, err)
		}
		mapped, err := second(nil, `{"a": input.s.matches(input.p)}`)
		if err != nil {
			t.Fatal(err)
		}
		input := fmt.Appendf(nil, `{"s":"a","p":%q}`, tt.pattern)
		if _, _, err := mapped.MakeWithin(input, nil); errors.Is(err, machine.ErrCostly) != tt.slow {
			t.Errorf("%.40s: among other decisions: %v", tt.pattern, err)
		}
		if !tt.refused && readingCost(tt.pattern) > maxCost {
			t.Errorf("%.40s: reading it costs %d", tt.pattern, readingCost(tt.pattern))
		}
	}
}

// TestInstructionsAreALowerBound checks that no regular expression which compiles to few
// instructions is refused because of its repetitions.
func TestInstructionsAreALowerBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`((a|\(b\||\)|[a-c]|\\b|\^|\(\?i:kx|\.){1,3}([*+?]|\{[0-3]\}|\{2,\}|\{1,4\}|)){1,6}`).Draw(t, "text")
		parsed, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			return
		}
		program, err := syntax.Compile(parsed.Simplify())
		if err != nil {
			return
		}
		if n := instructions(parsed); n > len(program.Inst) {
			t.Errorf("%s is compiled to %d instructions, and %d are said", text, len(program.Inst), n)
		}
	})
}

// TestContains checks that the search finds the same as package strings. It includes texts in which
// all rolling hashes are equal, for which package strings needs time proportional to the product of
// both lengths.
func TestContains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ab]{0,200}`).Draw(t, "text")
		part := rapid.StringMatching(`[ab]{0,3}`).Draw(t, "part")
		if from := rapid.IntRange(0, len(text)).Draw(t, "from"); rapid.Bool().Draw(t, "within") {
			part = text[from:] + part
		}
		if contains(text, part) != strings.Contains(text, part) {
			t.Errorf("%q in %q: %v", part, text, contains(text, part))
		}
	})
	const sameSum = "seabaabnkp" // same hash as "aaaaaaaaaa"
	mapped, err := second(nil, `input.l.all(x, input.s.contains(input.p) || true)`)
	if err != nil {
		t.Fatal(err)
	}
	input := fmt.Sprintf(`{"l":%s,"s":"%s","p":"%s"}`, ones(100), strings.Repeat("a", 1<<20), strings.Repeat("a", 1<<19)+sameSum)
	e := evaluation{Mapping: mapped, input: []byte(input), most: contract.MaxPayload}
	ended := make(chan error, 1)
	go func() {
		_, err := e.run(e.program)
		ended <- err
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Errorf("it ends at a cost of %d", e.cost)
		}
	case <-time.After(time.Minute): // a quadratic search takes minutes
		t.Fatal("it does not end")
	}
}

// TestResultsAreReadOnce checks that a result is read only once in an evaluation, even if that
// fails. The same holds for a field that does not match its schema, because all() continues after a
// fault.
func TestResultsAreReadOnce(t *testing.T) {
	for _, with := range []string{
		`input.l.all(x, has(result.step_one) || true)`,
		`input.l.all(x, has(result.step_one.a) || true)`,
		`input.l.all(x, result.step_one.a == x || true)`,
	} {
		for _, result := range []string{``, `  null`, `  {"a":1}`, `{"a":1`, `[1]`} {
			mapped, err := second(nil, with)
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			e := evaluation{Mapping: mapped, input: []byte(`{"l":` + ones(100) + `}`), most: contract.MaxPayload,
				results: func(int) []byte { asked++; return []byte(result) }}
			_, _ = e.run(e.program)
			if read := e.read - len(e.input); asked != 1 || read > len(result) {
				t.Errorf("%s of %q: asked for %d times, and %d bytes are read", with, result, asked, read)
			}
		}
	}
	o := newObject(&schema.Schema{Kind: schema.Object, Fields: map[string]*schema.Schema{"l": {Kind: schema.List, Items: &schema.Schema{Kind: schema.Int}}}}, "input",
		map[string]any{"l": []any{"no number"}})
	if _, err := o.field("l"); err == nil || o.read["l"] == nil {
		t.Errorf("a field that does not fit: %v, and is remembered as %v", err, o.read["l"])
	}
}
