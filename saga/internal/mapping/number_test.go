package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga/internal/datatest"
	"github.com/amends-dev/amends/saga/internal/schema"
)

// inRange holds numbers whose plain value is encoded differently. beyondRange holds numbers that
// CEL cannot represent.
var (
	inRange     = []string{"12345678901234567.89", "1.0", "1.50", "0.1000000000000000055511151231257827", "-0", "-0.0", "1E2", "1e-7", "1e21", "100e0", "18446744073709551615", "1e-400"}
	beyondRange = []string{"1e400", "-1e999999999", "123456789012345678901234567890", "-9223372036854775809"}
)

// TestPassedOnNumbersKeepTheirText checks each way in which an expression can pass a value on.
func TestPassedOnNumbersKeepTheirText(t *testing.T) {
	for with, want := range map[string]string{
		`input`:                          `{"i":1.0,"l":[N,5],"m":{"a":N},"n":N,"o":[{"a":N}]}`,
		`input.n`:                        `N`,
		`input["n"]`:                     `N`,
		`dyn(input).n`:                   `N`,
		`input.l`:                        `[N,5]`,
		`input.l[0]`:                     `N`,
		`input.l[input.i - 1.0]`:         `N`,
		`[1, input.n][input.i]`:          `N`,
		`[1, input.n][dyn(input.i)]`:     `N`,
		`[1, input.n][?input.i].value()`: `N`,
		`input.m`:                        `{"a":N}`,
		`input.m.a`:                      `N`,
		`input.o`:                        `[{"a":N}]`,
		`input.o[0].a`:                   `N`,
		`{"a": input.n, "b": [input.n, {"c": input.m}]}`: `{"a":N,"b":[N,{"c":{"a":N}}]}`,
		`{"a": input.n}.a`:                                 `N`,
		`{1: input.n}[input.i]`:                            `N`,
		`{input.i: input.n}[input.i]`:                      `N`,
		`[input.n]`:                                        `[N]`,
		`[input.n] + input.l`:                              `[N,N,5]`,
		`(input.l + [input.n] + [1])[2]`:                   `N`,
		`input.l.map(v, v)`:                                `[N,5]`,
		`input.l.map(v, {"v": v})`:                         `[{"v":N},{"v":5}]`,
		`input.l.filter(v, true)`:                          `[N,5]`,
		`input.o.map(v, has(v.a), v.a)`:                    `[N]`,
		`input.m.map(k, input.m[k])`:                       `[N]`,
		`true ? input.n : 1`:                               `N`,
		`(true ? input.m : {"a": 1}).a`:                    `N`,
		`(false ? 1 : (true ? [input.n] : [2])[0])`:        `N`,
		`size(input.l) == 2 ? input.n : 2`:                 `N`,
		`optional.of(input.n)`:                             `N`,
		`optional.of(input.n).value()`:                     `N`,
		`optional.none().or(optional.of(input.n)).value()`: `N`,
		`optional.none().orValue(input.n)`:                 `N`,
		`input.?n.orValue(1)`:                              `N`,
		`input[?"n"].orValue(1)`:                           `N`,
		`input.l[?0].orValue(1)`:                           `N`,
		`input.?m.?a.value()`:                              `N`,
		`input.?n.optMap(v, v).value()`:                    `N`,
		`input.?m.optFlatMap(v, v.?a).value()`:             `N`,
		`{?"a": input.?n, ?"b": input.?none}`:              `{"a":N}`,
		`[?input.?n, ?input.?none]`:                        `[N]`,
		`optional.unwrap([optional.of(input.n)])`:          `[N]`,
		`[optional.of(input.n)].unwrapOpt()`:               `[N]`,
		`input.l.first().value()`:                          `N`,
		`[input.n].last().value()`:                         `N`,
		`"n" in input ? input.n : 1`:                       `N`,
		`"a" in input.m ? input.m.a : 1`:                   `N`,
		`result.step_one.n`:                                `N`,
		`[input.n, result.step_one.n].map(v, dyn([v])[0])`: `[N,N]`,
	} {
		mapped, err := second(nil, with)
		if err != nil {
			t.Errorf("%s: %v", with, err)
			continue
		}
		for _, n := range slices.Concat(inRange, beyondRange) {
			put := func(text string) string { return strings.ReplaceAll(text, "N", n) }
			out, err := mapped.Make([]byte(put(`{"n":N,"i":1.0,"l":[N,5],"m":{"a":N},"o":[{"a":N}]}`)), func(int) []byte { return []byte(put(`{"n":N}`)) })
			if err != nil || string(out) != put(want) {
				t.Errorf("%s: %s, %v, want %s", with, out, err, put(want))
			}
		}
	}
}

// TestPassedOnNumbersOfASchema checks the same for values with a schema.
func TestPassedOnNumbersOfASchema(t *testing.T) {
	double := &schema.Schema{Kind: schema.Double}
	input := &schema.Schema{Kind: schema.Object, Fields: map[string]*schema.Schema{
		"n": double, "l": {Kind: schema.List, Items: double}, "m": {Kind: schema.Map, Items: double}, "i": {Kind: schema.Int},
	}}
	for with, want := range map[string]string{
		`input`:                    `{"i":-0,"l":[N],"m":{"a":N},"n":N}`,
		`input.n`:                  `N`,
		`input.i`:                  `-0`,
		`input.l`:                  `[N]`,
		`input.m`:                  `{"a":N}`,
		`input.?n`:                 `N`,
		`[input.n, 2.0] + input.l`: `[N,2,N]`,
		`input.l[input.i]`:         `N`,
		`input.n == input.l[0] ? input.m.a : 1.0`: `N`,
	} {
		mapped, err := second(input, with)
		if err != nil {
			t.Errorf("%s: %v", with, err)
			continue
		}
		for _, n := range inRange {
			put := func(text string) string { return strings.ReplaceAll(text, "N", n) }
			out, err := mapped.Make([]byte(put(`{"n":N,"i":-0,"l":[N],"m":{"a":N}}`)), nil)
			if err != nil || string(out) != put(want) {
				t.Errorf("%s: %s, %v, want %s", with, out, err, put(want))
			}
		}
	}
}

// TestIntegers checks that int accepts exactly the integers of JSON that fit 64 bits.
func TestIntegers(t *testing.T) {
	input := &schema.Schema{Kind: schema.Object, Fields: map[string]*schema.Schema{"i": {Kind: schema.Int}}}
	mapped, err := second(input, `input.i`)
	if err != nil {
		t.Fatal(err)
	}
	for text, good := range map[string]bool{
		"0": true, "-0": true, "7": true, "-7": true, "9223372036854775807": true, "-9223372036854775808": true,
		"9223372036854775808": false, "-9223372036854775809": false, "3.0": false, "1e2": false, "1E0": false, "100e-2": false, "0.0": false,
		"0.99999999999999999": false, "9007199254740993.0": false, "1.5": false, `"7"`: false,
	} {
		data := []byte(`{"i":` + text + `}`)
		out, failed := mapped.Make(data, nil)
		if refused := input.Accepts(data); (refused == nil) != good || (failed == nil) != good || good && string(out) != text {
			t.Errorf("%s: it is refused with %v, and becomes %s, %v", text, refused, out, failed)
		}
	}
}

// uniques draws numbers of all forms, of which no two are equal.
type uniques struct {
	made   int
	inside bool // whether to stay in CEL's range
}

func (u *uniques) next(t *rapid.T) string {
	u.made++
	shapes := []string{"%d", "-%d", "%d.0", "%d.50", "%d.25", "%[1]d000.%[1]d", "%de2", "%dE+3", "1%04d234567890123456.89", "0.%04d00", "%de-9", "%de25"}
	if !u.inside {
		shapes = append(shapes, "%de400", "%d23456789012345678901234567890")
	}
	return fmt.Sprintf(rapid.SampledFrom(shapes).Draw(t, "shape"), 1000+u.made)
}

// document draws data of the form that the expressions of passing use.
func (u *uniques) document(t *rapid.T) string {
	n := func() string { return u.next(t) }
	return fmt.Sprintf(`{"n":%s,"z":0.0,"i":%s,"l":[%s,%s,%s],"o":{"a":%s,"l":[%s]},"lo":[{"a":%s},{"a":%s}]}`,
		n(), rapid.SampledFrom([]string{"0", "-0", "0.0", "0e5"}).Draw(t, "i"), n(), n(), n(), n(), n(), n(), n())
}

// passing draws expressions that only pass numbers on, after any conditions.
type passing struct {
	t    *rapid.T
	made int
}

func (p *passing) one(forms ...func() string) string {
	return rapid.SampledFrom(forms).Draw(p.t, "form")()
}

func (p *passing) variable() string {
	p.made++
	return fmt.Sprintf("v%d", p.made)
}

func (p *passing) number(depth int, known []string) string {
	leaf := func() string {
		return rapid.SampledFrom(append([]string{"input.n", "input.o.a", "input.l[0]", "input.l[input.i]", "input.lo[1].a", "input.o.l[input.i]", "result.step_one.n"}, known...)).Draw(p.t, "leaf")
	}
	if depth == 0 {
		return leaf()
	}
	n := func() string { return p.number(depth-1, known) }
	l := func() string { return p.list(depth-1, known) }
	return p.one(leaf,
		func() string { return "dyn(" + n() + ")" },
		func() string { return "(" + p.condition(depth-1, known) + " ? " + n() + " : " + n() + ")" },
		func() string { return "[" + n() + ", " + n() + "][1]" },
		func() string { return l() + "[input.i]" },
		func() string { return `{"k": ` + n() + "}.k" },
		func() string { return "{" + n() + ": " + n() + ", true: " + n() + "}[true]" },
		func() string { return `{"k": {"k": ` + n() + `}}["k"].?k.value()` },
		func() string { return "optional.of(" + n() + ").orValue(" + n() + ")" },
		func() string { return "optional.ofNonZeroValue(" + n() + ").or(optional.of(" + n() + ")).value()" },
		func() string { return "optional.ofNonZeroValue(input.z).orValue(" + n() + ")" },
		func() string { return "input.?o.?a.orValue(" + n() + ")" },
		func() string { return "dyn(input.o)[?'a'].orValue(" + n() + ")" },
		func() string { return l() + "[?input.i].orValue(" + n() + ")" },
		func() string { return l() + ".first().orValue(" + n() + ")" },
		func() string { return l() + ".last().orValue(" + n() + ")" },
		func() string {
			v := p.variable()
			return "optional.of(" + n() + ").optMap(" + v + ", " + p.number(depth-1, append(known, v)) + ").value()"
		},
	)
}

func (p *passing) list(depth int, known []string) string {
	leaf := func() string { return rapid.SampledFrom([]string{"input.l", "input.o.l"}).Draw(p.t, "list") }
	if depth == 0 {
		return leaf()
	}
	n := func() string { return p.number(depth-1, known) }
	l := func() string { return p.list(depth-1, known) }
	return p.one(leaf,
		func() string { return "[" + n() + "]" },
		func() string { return "[" + n() + ", ?optional.of(" + n() + ")]" },
		func() string { return "(" + l() + " + " + l() + ")" },
		func() string { return "(" + p.condition(depth-1, known) + " ? " + l() + " : " + l() + ")" },
		func() string { return "optional.unwrap([optional.of(" + n() + "), optional.none()])" },
		func() string { return "[" + l() + "][0]" },
		func() string {
			v := p.variable()
			return l() + ".map(" + v + ", " + p.number(depth-1, append(known, v)) + ")"
		},
		func() string {
			v := p.variable()
			return l() + ".filter(" + v + ", " + p.condition(depth-1, append(known, v)) + ")"
		},
		func() string { return "input.lo.map(o, o.a)" },
	)
}

func (p *passing) condition(depth int, known []string) string {
	n := func() string { return p.number(max(depth-1, 0), known) }
	l := func() string { return p.list(max(depth-1, 0), known) }
	return p.one(
		func() string { return n() + " == " + n() },
		func() string { return "dyn(" + n() + ") != dyn(" + l() + ")" },
		func() string { return n() + " < " + n() },
		func() string { return n() + " in " + l() },
		func() string { return l() + " == " + l() },
		func() string { return `{"k": [` + n() + "]} == {'k': " + l() + "}" },
		func() string { return "optional.of(" + n() + ") == optional.of(" + n() + ")" },
		func() string { return "size(" + l() + ") > 1" },
		func() string { return "type(" + n() + ") == double" },
		func() string { return "string(" + n() + ") > '1'" },
		func() string { return "double(" + n() + ") > 2000.0" },
		func() string { return "[1.0, 2.0] == " + l() },
		func() string { return "'k' in {'k': " + n() + "}" },
		func() string { return "has(input.o.a)" },
		func() string { return l() + ".exists(e, e == " + n() + ")" },
		func() string { return l() + ".all(e, !(e in " + l() + "))" },
	)
}

// leaves matches the numbers in JSON as they are written.
var leaves = regexp.MustCompile(`-?[0-9][-+.0-9eE]*`)

// TestNumbersAreTheirTexts evaluates expressions that only pass numbers on, over a document of
// unique numbers. Each number in the output must have the text of a number in the document. Without
// texts, the same expression must produce an equal value.
func TestNumbersAreTheirTexts(t *testing.T) {
	tried, made, typed := 0, 0, 0
	numbers := everyNumber(&schema.Schema{Kind: schema.Double})
	rapid.Check(t, func(t *rapid.T) {
		for range 10 {
			p := &passing{t: t}
			with := rapid.SampledFrom([]func() string{
				func() string { return p.number(3, nil) },
				func() string { return p.list(3, nil) },
				func() string { return `{"a": ` + p.number(2, nil) + `, "b": [` + p.list(2, nil) + "]}" },
			}).Draw(t, "kind")()
			inside := rapid.Bool().Draw(t, "inside")
			var input *schema.Schema
			if inside && rapid.Bool().Draw(t, "schema") {
				input = numbers
			}
			mapped, err := second(input, with)
			if err != nil {
				t.Fatalf("%s: %v", with, err)
			}
			tried++
			u := &uniques{inside: inside}
			document, result := u.document(t), `{"n":`+u.next(t)+`}`
			out, err := mapped.Make([]byte(document), func(int) []byte { return []byte(result) })
			if err == nil {
				made++
				if input != nil {
					typed++
				}
				known := leaves.FindAllString(document+result, -1)
				for _, n := range leaves.FindAllString(string(out), -1) {
					if !slices.Contains(known, n) {
						t.Fatalf("%s\nof %s and %s\nmakes %s,\nand %s is not there", with, document, result, out, n)
					}
				}
			}
			if inside {
				compareWithTwin(t, mapped, with, document, result, out, err)
			}
		}
	})
	t.Logf("%d expressions, %d made something, %d of them with a schema", tried, made, typed)
	if made < tried/2 || typed == 0 {
		t.Errorf("%d of %d expressions made something, %d with a schema", made, tried, typed)
	}
}

// everyNumber returns the schema of the documents.
func everyNumber(n *schema.Schema) *schema.Schema {
	object := func(fields map[string]*schema.Schema) *schema.Schema {
		return &schema.Schema{Kind: schema.Object, Fields: fields}
	}
	l := &schema.Schema{Kind: schema.List, Items: n}
	a := object(map[string]*schema.Schema{"a": n})
	return object(map[string]*schema.Schema{"n": n, "z": n, "l": l, "i": {Kind: schema.Any}, "o": object(map[string]*schema.Schema{"a": n, "l": l}), "lo": {Kind: schema.List, Items: a}})
}

// TestNumbersCalculateAsWithoutTexts checks for arbitrary expressions that the output is the same
// without texts.
func TestNumbersCalculateAsWithoutTexts(t *testing.T) {
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		for range 10 {
			with := datatest.Expression(t, 3, nil)
			mapped, err := second(nil, with)
			if err != nil {
				continue
			}
			u := &uniques{inside: true}
			n := func() string { return rapid.SampledFrom([]string{"1.0", "2.50", "0.0", "-0", u.next(t)}).Draw(t, "n") }
			document := func() string {
				return fmt.Sprintf(`{"a":%s,"b":{"a":%s,"b":[%s]},"c":{%q:%s}}`, n(), n(), n(), n(), n())
			}
			input, result := document(), document()
			out, err := mapped.Make([]byte(input), func(int) []byte { return []byte(result) })
			if compareWithTwin(t, mapped, with, input, result, out, err) {
				compared++
			}
		}
	})
	if compared < 100 && !testing.Short() { // which runs fewer cases
		t.Errorf("%d were compared", compared)
	}
}

// compareWithTwin evaluates an expression with values that have no texts. It reports whether both
// evaluations produced a value.
func compareWithTwin(t *rapid.T, mapped *Mapping, with, input, result string, out []byte, err error) bool {
	m := mapped
	env, failed := mappingEnv(m.types, m.input)
	if failed != nil {
		t.Fatal(failed)
	}
	tree, issues := env.Compile(with)
	if issues.Err() != nil {
		t.Fatal(issues.Err())
	}
	nulls := reading{tests: readingOf(tree.NativeRep()).tests} // null has the same meaning in both evaluations
	program, failed := env.Program(tree, cel.CostTracking(pricing{}), cel.CustomDecoratorV2(nulls.decorate))
	if failed != nil {
		t.Fatal(failed)
	}
	e := &evaluation{Mapping: m, results: func(int) []byte { return []byte(result) }}
	twin, _, failed := program.Eval(map[string]any{
		"input": textless(t, m.input, input), "result": &resultsValue{evaluation: e, read: map[string]ref.Val{"step_one": textless(t, nil, result)}},
	})
	switch {
	case failed != nil && err != nil:
		return false
	case failed != nil:
		t.Fatalf("%s\nof %s and %s\nmakes %s, and without texts it fails: %v", with, input, result, out, failed)
	case err != nil:
		if w := newJSONWriter(contract.MaxPayload); w.value(twin) == nil {
			t.Fatalf("%s\nof %s and %s\nfails with %v, and without texts it makes %s", with, input, result, err, w.buffer.Bytes())
		}
		return false // neither can be encoded as JSON
	}
	if !sameAs(t, twin, decoded(t, string(out))) {
		t.Fatalf("%s\nof %s and %s\nmakes %s, and without texts %v", with, input, result, out, twin)
	}
	return true
}

func decoded(t *rapid.T, data string) (raw any) {
	d := json.NewDecoder(bytes.NewReader([]byte(data)))
	d.UseNumber()
	if err := d.Decode(&raw); err != nil {
		t.Fatal(err)
	}
	return raw
}

// textless decodes JSON to plain CEL values: numbers are types.Int or types.Double, and do not keep
// their JSON text.
func textless(t *rapid.T, s *schema.Schema, data string) ref.Val {
	var of func(raw any) ref.Val
	of = func(raw any) ref.Val {
		switch v := raw.(type) {
		case json.Number:
			i, err := strconv.ParseInt(string(v), 10, 64)
			if err == nil && s == nil {
				return types.Int(i)
			}
			f, err := strconv.ParseFloat(string(v), 64)
			if err != nil {
				t.Fatal(err)
			}
			return types.Double(f)
		case []any:
			var items []ref.Val
			for _, item := range v {
				items = append(items, of(item))
			}
			return types.NewRefValList(types.DefaultTypeAdapter, items)
		case map[string]any:
			fields := map[ref.Val]ref.Val{}
			for name, field := range v {
				fields[types.String(name)] = of(field)
			}
			if s == nil {
				return newSortedMap(fields)
			}
			return fieldsOnly{newSortedMap(fields)}
		}
		t.Fatalf("%T", raw)
		return nil
	}
	return of(decoded(t, data))
}

// fieldsOnly is an object with a schema, of which only the fields can be accessed.
type fieldsOnly struct{ traits.Mapper }

func (f fieldsOnly) has(name string) bool { return f.Contains(types.String(name)) == types.True }

func (f fieldsOnly) field(name string) (any, error) { return f.Get(types.String(name)), nil }

func (f fieldsOnly) Value() any { return f }

// sameAs reports whether a value equals decoded JSON.
func sameAs(t *rapid.T, v ref.Val, raw any) bool {
	switch v := v.(type) {
	case *types.Optional:
		if v.HasValue() {
			return sameAs(t, v.GetValue(), raw)
		}
		return raw == nil
	case types.Int:
		n, _ := raw.(json.Number)
		i, err := strconv.ParseInt(string(n), 10, 64)
		return err == nil && i == int64(v)
	case types.Double:
		n, _ := raw.(json.Number)
		f, err := strconv.ParseFloat(string(n), 64)
		return err == nil && f == float64(v)
	case traits.Mapper:
		fields, ok := raw.(map[string]any)
		if n, _ := v.Size().(types.Int); !ok || int(n) != len(fields) {
			return false
		}
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			name, _ := key.ConvertToType(types.StringType).(types.String)
			if field, ok := fields[string(name)]; !ok || !sameAs(t, v.Get(key), field) {
				return false
			}
		}
		return true
	case traits.Lister:
		items, ok := raw.([]any)
		if n, _ := v.Size().(types.Int); !ok || int(n) != len(items) {
			return false
		}
		for i := range items {
			if !sameAs(t, v.Get(types.Int(i)), items[i]) {
				return false
			}
		}
		return true
	}
	w := newJSONWriter(contract.MaxPayload)
	if err := w.value(v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	var plain, said any
	return json.Unmarshal(w.buffer.Bytes(), &plain) == nil && json.Unmarshal(text, &said) == nil && plain == said
}

// TestEachFunctionTakesNumbersSomehow checks that number.go has an entry for each function that
// takes lists, maps or any type. The entry defines whether the function passes them on or looks
// into them.
func TestEachFunctionTakesNumbersSomehow(t *testing.T) {
	env, err := baseEnv()
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for name, function := range env.Functions() {
		for _, overload := range function.OverloadDecls() {
			for _, arg := range overload.ArgTypes() {
				scalar := slices.Contains([]types.Kind{types.BoolKind, types.StringKind, types.BytesKind, types.TimestampKind, types.DurationKind,
					types.IntKind, types.UintKind, types.DoubleKind, types.NullTypeKind, types.TypeKind}, arg.Kind())
				if _, ok := depths[name]; ok {
					known++
				} else if !scalar && name != "type" {
					t.Errorf("%s (%s) takes a %s: does it hand it on, or look into it?", name, overload.ID(), arg)
				}
			}
		}
	}
	if known < len(depths) {
		t.Errorf("%d", known)
	}
}
