package datatest

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// Canaries holds words that occur in data and nowhere else.
type Canaries []string

// Text returns a new word of letters. No two words share eight consecutive bytes.
func (c *Canaries) Text() string {
	word := fmt.Sprintf("%cq%04dzxkv%04dw", 'a'+len(*c)%26, 1000+len(*c), 7000+len(*c))
	*c = append(*c, word)
	return word
}

// Digits returns a new word of digits.
func (c *Canaries) Digits() string {
	word := fmt.Sprintf("83%04d6471%04d", 1000+len(*c), 5000+len(*c))
	*c = append(*c, word)
	return word
}

// In returns a word that shares eight consecutive bytes with a text.
func (c *Canaries) In(text string) (string, bool) {
	for _, word := range *c {
		for i := range len(word) - 7 {
			if strings.Contains(text, word[i:i+8]) {
				return word, true
			}
		}
	}
	return "", false
}

// Data draws JSON whose leaves and keys are canaries, except for the keys a, b and c.
func (c *Canaries) Data(t *rapid.T, depth int) string {
	kinds := []string{"text", "text", "number", "double", "huge", "true", "null", "time", "pattern"}
	if depth > 0 {
		kinds = append(kinds, "object", "object", "list")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "text":
		return `"` + c.Text() + `"`
	case "number":
		return c.Digits()
	case "double":
		return c.Digits() + ".5"
	case "huge":
		return c.Digits() + rapid.SampledFrom([]string{"e999", "0000000000000000000", "e300"}).Draw(t, "exponent")
	case "true":
		return "true"
	case "time":
		return `"2026-` + c.Digits() + `"`
	case "pattern":
		return `"(` + c.Text() + `"`
	case "list":
		return "[" + c.Data(t, depth-1) + "," + c.Data(t, depth-1) + "]"
	case "object":
		return fmt.Sprintf(`{"a":%s,"b":%s,%q:%s}`, c.Data(t, depth-1), c.Data(t, depth-1), c.Text(), c.Data(t, depth-1))
	}
	return "null"
}

// Document draws the data of a saga, which is sometimes malformed.
func (c *Canaries) Document(t *rapid.T) string {
	whole := fmt.Sprintf(`{"a":%s,"b":%s,"c":%s,%q:%s}`, c.Data(t, 2), c.Data(t, 2), c.Data(t, 1), c.Text(), c.Data(t, 1))
	if rapid.IntRange(0, 9).Draw(t, "broken") > 0 {
		return whole
	}
	at := rapid.IntRange(0, len(whole)).Draw(t, "at")
	return whole[:at] + rapid.SampledFrom([]string{"", "\x01", c.Text(), `"`, "}", "[" + c.Digits()}).Draw(t, "what")
}

// Expression draws an expression over input. variables holds the variables of the enclosing macros.
func Expression(t *rapid.T, depth int, variables []string) string {
	leaves := append([]string{"input.a", "input.b", "input.c", "input", "result.step_one", "result.step_one.a", "1", "0", `"x"`, "2.5", "true", "null", "-1u"}, variables...)
	if depth == 0 {
		return rapid.SampledFrom(leaves).Draw(t, "leaf")
	}
	e := func() string { return "dyn(" + Expression(t, depth-1, variables) + ")" }
	within := append([]string{fmt.Sprintf("v%d", depth)}, variables...)
	forms := []func() string{
		func() string { return rapid.SampledFrom(leaves).Draw(t, "leaf") },
		func() string {
			f := rapid.SampledFrom([]string{"int", "uint", "double", "bool", "string", "bytes", "timestamp", "duration", "size", "-", "!", "type"}).Draw(t, "function")
			return f + "(" + e() + ")"
		},
		func() string {
			op := rapid.SampledFrom([]string{"+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"}).Draw(t, "operator")
			return "(" + e() + " " + op + " " + e() + ")"
		},
		func() string { return e() + "[" + e() + "]" },
		func() string { return e() + "[?" + e() + "].orValue(" + e() + ")" },
		func() string {
			return e() + rapid.SampledFrom([]string{".a", ".b.a", ".?a.value()", ".?b.?a"}).Draw(t, "field")
		},
		func() string { return "has(" + e() + ".a)" },
		func() string { return e() + ".matches(" + e() + ")" },
		func() string { return e() + ".startsWith(" + e() + ")" },
		func() string { return "{" + e() + ": " + e() + ", " + e() + ": 1}" },
		func() string { return `{?"k": ` + e() + "}" },
		func() string { return "[" + e() + ", ?" + e() + "]" },
		func() string { return "(" + e() + " ? " + e() + " : " + e() + ")" },
		func() string { return "timestamp(" + e() + ") + duration(" + e() + ")" },
		func() string { return "timestamp(" + e() + ").getFullYear()" },
		func() string {
			macro := rapid.SampledFrom([]string{"map", "filter", "all", "exists_one"}).Draw(t, "macro")
			return fmt.Sprintf("%s.%s(%s, dyn(%s))", e(), macro, within[0], Expression(t, depth-1, within))
		},
	}
	return rapid.SampledFrom(forms).Draw(t, "form")()
}
