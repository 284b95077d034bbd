package machine

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
)

// TestStartDigestIsGolden checks that the digests never change, because they are stored. The
// expected ones were computed without this package: a byte for the version, and the SHA-256 of "j"
// and the canonical JSON, or of "b", the length of the content type, the content type and the
// input.
func TestStartDigestIsGolden(t *testing.T) {
	for _, golden := range []struct{ contentType, input, digest string }{
		{"", `{"id":"order-42","amount":12.50}`, "01354ec3094c0a73db4acbf7bf70569ced62c1ffecdb8430e28d6f72a5fcf392ed"},
		{"application/json; charset=utf-8", `{ "amount" : 1250e-2, "id" : "order-42" }`, "01354ec3094c0a73db4acbf7bf70569ced62c1ffecdb8430e28d6f72a5fcf392ed"},
		{"text/plain", `hello`, "0126cf7cf76841c2050fac4ea92723d15868f77845b2019088658a333f967d37af"},
		{"", `{`, "01559c8713992c3e37d3e27e233403067b76f752bcbf10cf3a643852dbf4d0b386"},
	} {
		if got := DigestStart(golden.contentType, []byte(golden.input)); hex.EncodeToString(got[:]) != golden.digest {
			t.Errorf("%s %s: %x", golden.contentType, golden.input, got)
		}
	}
}

// TestJSONByValue checks the canonical text from which the digest is computed.
func TestJSONByValue(t *testing.T) {
	for input, want := range map[string]string{
		`{ "b" : [ 1 , 2.50 , { } , [ ] ] ,  "a" : null }`: `{"a":null,"b":[1e0,25e-1,{},[]]}`,
		`{"a":1,"b":2}`:  `{"a":1e0,"b":2e0}`,
		`{"a":1,"a":2}`:  `{"a":1e0,"a":2e0}`,
		`{"a":2,"a":1}`:  `{"a":2e0,"a":1e0}`,
		`{"aa":1,"a":2}`: `{"a":2e0,"aa":1e0}`,
		`true`:           `true`,
		`"\u0041\/\u00e9\n\"\\\ud83d\ude00\u001F"`: `"A/é\u000a\"\\😀\u001f"`,
		`"\uD800\ud800\udc00\udc00x"`:              "\"\\ud800\U00010000\\udc00x\"",
		`"\ud800\u0041"`:                           `"\ud800A"`,
		"\"\xff\"":                                 "\"\xff\"",
		`{"\u0062":1,"a":1}`:                       `{"a":1e0,"b":1e0}`,
		`0`:                                        `0`, `-0`: `0`, `0.000e77`: `0`, `-0E-5`: `0`,
		`1`: `1e0`, `1.0`: `1e0`, `10e-1`: `1e0`, `0.1e+1`: `1e0`, `1E0`: `1e0`, `100`: `1e2`, `-1.50`: `-15e-1`, `0.0050`: `5e-3`,
		`12345678901234567`: `12345678901234567e0`, `12345678901234568`: `12345678901234568e0`,
		`1e999999999`: `1e999999999`, `10e999999998`: `1e999999999`, `1e-999999999`: `1e-999999999`, `1e0000000000000000000000005`: `1e5`,
		`1e999999999999999999`: `1e999999999999999999`, `10e999999999999999999`: `1e1000000000000000000`, `10e-1000000000000000000`: `1e-999999999999999999`,
		`1e1000000000000000000`: `1e1000000000000000000`, `0.1e1000000000000000000`: `1e999999999999999999`, `0.01e99999999999999999999`: `1e99999999999999999997`,
		`100e99999999999999999999`: `1e100000000000000000001`, `0.1e-99999999999999999999`: `1e-100000000000000000000`, `100e-100000000000000000000`: `1e-99999999999999999998`,
	} {
		c := jsonByValue{in: []byte(input)}
		if c.value(startDigestDepth); string(c.out) != want {
			t.Errorf("%s: %s, want %s", input, c.out, want)
		}
	}
}

// TestStartsAreComparedByValue checks that JSON is compared by value, and other data byte for byte.
func TestStartsAreComparedByValue(t *testing.T) {
	for _, test := range []struct {
		a, first, b, second string
		same                bool
	}{
		{"", `{"a":1,"b":[2]}`, "application/json", `{ "b": [2.0], "a": 10e-1 }`, true},
		{"application/json; charset=utf-8", `{}`, "Application/JSON", ` {}`, true},
		{"application/order+json", `{"a":"\u00e9"}`, "application/order+json;v=2", `{"a":"é"}`, true},
		{"", `-0`, "", `0.0`, true},
		{"", `1e999999999`, "", `10e999999998`, true},
		{"", `12345678901234567`, "", `12345678901234568`, false},
		{"", `0.1`, "", `0.1000000000000000055511151231257827`, false},
		{"", `[1,2]`, "", `[2,1]`, false},
		{"", `{"a":null}`, "", `{}`, false},
		{"", `{"a":1,"a":2}`, "", `{"a":2}`, false},
		{"", `"1"`, "", `1`, false},
		{"", `"\ud800"`, "", `"\ufffd"`, false},
		{"", `[]`, "", `{}`, false},
		{"", `[[],[]]`, "", `[[[]]]`, false},
		{"", nest(128, "1"), "", nest(128, "1.0"), true},
		{"", nest(129, "1"), "", nest(129, "1.0"), false},
		{"", nest(129, "1"), "", nest(129, "1"), true},
		{"", `not JSON`, "", `not  JSON`, false},
		{"", `not JSON`, "application/json", `not JSON`, true},
		{"", ``, "", ` `, false},
		{"text/plain", `{"a":1}`, "text/plain", `{"a":1}`, true},
		{"text/plain", `{"a":1}`, "text/plain", `{"a":1.0}`, false},
		{"text/plain", `{"a":1}`, "text/plain; charset=utf-8", `{"a":1}`, false},
		{"text/plain", `{"a":1}`, "", `{"a":1}`, false},
		{"a", `bc`, "ab", `c`, false},
	} {
		in := Instance{Start: Start{ContentType: test.a, Input: []byte(test.first)}}
		if in.StartedWith(test.b, []byte(test.second)) != test.same || DigestStart(test.a, in.Input).Is(test.b, []byte(test.second)) != test.same {
			t.Errorf("%s %s and %s %s: %v expected", test.a, test.first, test.b, test.second, test.same)
		}
	}
	if (StartDigest{}).Is("", nil) {
		t.Error("the zero value is that of a start")
	}
}

func nest(depth int, value string) string {
	return strings.Repeat("[", depth) + value + strings.Repeat("]", depth)
}

// twoSpellings returns two spellings of the same value.
func twoSpellings(t *rapid.T, depth int) (a, b string) {
	kinds := []string{"number", "text", "word"}
	if depth > 0 {
		kinds = append(kinds, "list", "object")
	}
	space := func() string { return rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space") }
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "number":
		digits, zeros, shift := rapid.IntRange(-99999, 99999).Draw(t, "digits"), rapid.IntRange(0, 3).Draw(t, "zeros"), rapid.IntRange(-40, 40).Draw(t, "shift")
		if digits == 0 {
			return "0", fmt.Sprintf("-0.%sE%+d", strings.Repeat("0", 1+zeros), shift)
		}
		return fmt.Sprintf("%de%d", digits, shift), fmt.Sprintf("%d%s.%sE%+d", digits, strings.Repeat("0", zeros), strings.Repeat("0", 1+zeros), shift-zeros)
	case "text":
		text := rapid.StringOfN(rapid.RuneFrom([]rune("aé\"\\/😀\n\u2028")), 0, 4, -1).Draw(t, "text")
		return quote(text, false), quote(text, true)
	case "list":
		for i := range rapid.IntRange(0, 3).Draw(t, "items") {
			x, y := twoSpellings(t, depth-1)
			if i > 0 {
				a, b = a+",", b+space()+","+space()
			}
			a, b = a+x, b+y
		}
		return "[" + a + "]", "[" + space() + b + space() + "]"
	case "object":
		for i := range rapid.IntRange(0, 3).Draw(t, "members") {
			name := fmt.Sprintf("é%d", i)
			x, y := twoSpellings(t, depth-1)
			if i > 0 {
				a, b = a+",", space()+","+b
			}
			a, b = a+quote(name, false)+":"+x, quote(name, true)+space()+":"+y+b
		}
		return "{" + a + "}", "{" + space() + b + space() + "}"
	}
	word := rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word")
	return word, word
}

// quote returns text as a JSON string, with all characters escaped or only those that must be.
func quote(text string, all bool) string {
	out := `"`
	for _, r := range text {
		switch {
		case r > 0xffff && all:
			out += fmt.Sprintf(`\u%04x\u%04X`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		case all || r == '"' || r == '\\' || r < 0x20:
			out += fmt.Sprintf(`\u%04x`, r)
		default:
			out += string(r)
		}
	}
	return out + `"`
}

// exactly returns a JSON value with its numbers converted without loss of precision.
func exactly(t *rapid.T, raw any) any {
	switch v := raw.(type) {
	case json.Number:
		r, ok := new(big.Rat).SetString(string(v))
		if !ok {
			t.Fatal(v)
		}
		return r.RatString()
	case []any:
		for i := range v {
			v[i] = exactly(t, v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exactly(t, v[name])
		}
	case string:
		return "text " + v
	}
	return raw
}

// TestEqualJSONHasOneDigest checks that two spellings of a value have the same digest, and that two
// values have the same digest exactly if they are equal.
func TestEqualJSONHasOneDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := twoSpellings(t, 3)
		if !json.Valid([]byte(a)) || !json.Valid([]byte(b)) {
			t.Fatalf("%s, %s", a, b)
		}
		if DigestStart("", []byte(a)) != DigestStart("", []byte(b)) {
			t.Errorf("%s and %s are equal", a, b)
		}
		other, _ := twoSpellings(t, 1)
		equal := reflect.DeepEqual(exactly(t, decoded(t, a)), exactly(t, decoded(t, other)))
		if same := DigestStart("", []byte(a)) == DigestStart("", []byte(other)); same != equal {
			t.Errorf("%s and %s: equal %v, the same %v", a, other, equal, same)
		}
	})
}

// TestLargeExponentsCostNothing checks that numbers are never expanded, whatever their exponent.
func TestLargeExponentsCostNothing(t *testing.T) {
	long := strings.Repeat("9", contract.MaxPayload-2)
	for _, input := range []string{"1e999999999", "1e" + long, "1e-" + long[1:], "[" + strings.TrimSuffix(strings.Repeat("1e999999999,", 1000), ",") + "]"} {
		c := jsonByValue{in: []byte(input)}
		if c.value(startDigestDepth); len(c.out) > len(input)+2 {
			t.Errorf("%.20s: %d bytes became %d", input, len(input), len(c.out))
		}
	}
}

func BenchmarkDigestStart(b *testing.B) {
	input := []byte(`{"order":"order-4711","customer":"c-4711","lines":[{"sku":"chair","quantity":4},{"sku":"table","quantity":1}],"total_cents":48900}`)
	b.ReportAllocs()
	for b.Loop() {
		DigestStart("", input)
	}
}

func FuzzDigestStart(f *testing.F) {
	f.Add(`{"b":[1,2.50,{}],"a":"\u00e9\ud83d\ude00"}`)
	f.Add(`[1e999999999,-0,10e-99999999999999999999]`)
	f.Fuzz(func(t *testing.T, input string) {
		DigestStart("", []byte(input))
		if !json.Valid([]byte(input)) {
			return
		}
		c := jsonByValue{in: []byte(input)}
		if !c.value(startDigestDepth) {
			return
		}
		if c.space(); len(c.in) > 0 || !json.Valid(c.out) {
			t.Errorf("%q: %q, and %q is left", input, c.out, c.in)
		}
		again := jsonByValue{in: c.out}
		if again.value(startDigestDepth); string(again.out) != string(c.out) {
			t.Errorf("%q: %q, and then %q", input, c.out, again.out)
		}
	})
}

func decoded(t *rapid.T, data string) (raw any) {
	d := json.NewDecoder(strings.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&raw); err != nil {
		t.Fatal(err)
	}
	return raw
}
