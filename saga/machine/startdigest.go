package machine

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/amends-dev/amends/contract"
)

// StartDigest distinguishes a start from a different start with the same id. Two starts are equal
// if their inputs are equal. JSON (application/json and …+json, with any parameters) is compared by
// value: objects without order, strings by code points, and numbers by their exact decimal value.
// Invalid JSON and all other inputs are compared byte for byte, together with the content type.
//
// A StartDigest consists of the version of this rule (1) and a SHA-256. It is stored, so the digest
// that a version of the rule computes must never change. The zero value means no start.
type StartDigest [1 + sha256.Size]byte

const (
	startDigestVersion = 1
	// startDigestDepth bounds the nesting of JSON that is compared by value. Deeper JSON is
	// compared byte for byte; no entry point accepts such JSON.
	startDigestDepth = 128
)

// DigestStart returns the digest of a start with an input. An empty content type means
// application/json.
func DigestStart(contentType string, input []byte) StartDigest {
	c := jsonByValue{in: input, out: append(make([]byte, 0, len(input)+len(input)/4+16), 'j')}
	var canonical []byte
	if contract.IsJSON(contentType) && json.Valid(input) && c.value(startDigestDepth) {
		canonical = c.out
	} else {
		contentType = cmp.Or(contentType, "application/json")
		canonical = binary.AppendUvarint([]byte{'b'}, uint64(len(contentType)))
		canonical = append(append(canonical, contentType...), input...)
	}
	hash := sha256.Sum256(canonical)
	d := StartDigest{startDigestVersion}
	copy(d[1:], hash[:])
	return d
}

// Is reports whether d is the digest of a start with the given input.
func (d StartDigest) Is(contentType string, input []byte) bool {
	return d == DigestStart(contentType, input)
}

// StartedWith reports whether the saga was started with the given input.
func (in *Instance) StartedWith(contentType string, input []byte) bool {
	if in.ContentType == contentType && bytes.Equal(in.Input, input) {
		return true
	}
	return DigestStart(in.ContentType, in.Input) == DigestStart(contentType, input)
}

// jsonByValue rewrites valid JSON so that two values have the same text exactly if they are equal.
// It omits white space and unnecessary escapes in strings. It sorts the members of objects by name,
// and keeps duplicates. It writes numbers as digits and an exponent.
type jsonByValue struct {
	in  []byte // the remaining input
	out []byte
}

// value rewrites the next value. It returns false if objects and arrays are nested more deeply than
// depth.
func (c *jsonByValue) value(depth int) bool {
	c.space()
	switch c.in[0] {
	case '{':
		return depth > 0 && c.object(depth-1)
	case '[':
		return depth > 0 && c.list(depth-1)
	case '"':
		c.text()
	case 't', 'f', 'n':
		c.take(c.end(isLetter))
	default:
		n := c.end(isNumber)
		c.out = appendCanonicalNumber(c.out, c.in[:n])
		c.in = c.in[n:]
	}
	return true
}

// take copies the next n bytes unchanged.
func (c *jsonByValue) take(n int) {
	c.out = append(c.out, c.in[:n]...)
	c.in = c.in[n:]
}

func (c *jsonByValue) space() { c.in = c.in[c.end(isSpace):] }

// end returns the number of consecutive bytes, from the next byte on, for which of returns true.
func (c *jsonByValue) end(of func(byte) bool) int {
	n := 0
	for n < len(c.in) && of(c.in[n]) {
		n++
	}
	return n
}

func isSpace(b byte) bool  { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }
func isLetter(b byte) bool { return b >= 'a' && b <= 'z' }
func isDigit(b byte) bool  { return b >= '0' && b <= '9' }
func isNumber(b byte) bool {
	return isDigit(b) || b == '-' || b == '+' || b == '.' || b == 'e' || b == 'E'
}

// next skips white space. If the next byte is b, it skips the byte and returns true.
func (c *jsonByValue) next(b byte) bool {
	c.space()
	if c.in[0] != b {
		return false
	}
	c.in = c.in[1:]
	return true
}

func (c *jsonByValue) list(depth int) bool {
	c.take(1)
	for first := true; !c.next(']'); first = false {
		if !first {
			c.next(',')
			c.out = append(c.out, ',')
		}
		if !c.value(depth) {
			return false
		}
	}
	c.out = append(c.out, ']')
	return true
}

// member holds the offsets of a member of an object in the output.
type member struct{ start, name, end int }

func (c *jsonByValue) object(depth int) bool {
	c.take(1)
	begin := len(c.out)
	var members []member
	for first := true; !c.next('}'); first = false {
		if !first {
			c.next(',')
		}
		m := member{start: len(c.out)}
		c.space()
		c.text()
		m.name = len(c.out)
		c.next(':')
		c.out = append(c.out, ':')
		if !c.value(depth) {
			return false
		}
		c.out = append(c.out, ',')
		m.end = len(c.out)
		members = append(members, m)
	}
	byName := func(a, b member) int { return bytes.Compare(c.out[a.start:a.name], c.out[b.start:b.name]) }
	if !slices.IsSortedFunc(members, byName) {
		slices.SortStableFunc(members, byName)
		unsorted := bytes.Clone(c.out[begin:])
		c.out = c.out[:begin]
		for _, m := range members {
			c.out = append(c.out, unsorted[m.start-begin:m.end-begin]...)
		}
	}
	if len(members) > 0 {
		c.out[len(c.out)-1] = '}' // replaces the last comma
	} else {
		c.out = append(c.out, '}')
	}
	return true
}

// text rewrites a string. An unpaired surrogate, which is not a character, stays an escape. Bytes
// that are not UTF-8 stay unchanged.
func (c *jsonByValue) text() {
	c.take(1)
	for {
		n := c.end(func(b byte) bool { return b != '"' && b != '\\' })
		c.take(n)
		if c.in[0] == '"' {
			c.take(1)
			return
		}
		c.escape()
	}
}

// unescaped maps the letter of each one-letter escape to its character.
var unescaped = map[byte]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (c *jsonByValue) escape() {
	r, ok := unescaped[c.in[1]]
	if ok {
		c.in = c.in[2:]
	} else {
		r = unit(c.in)
		c.in = c.in[6:]
	}
	switch {
	case r >= 0xd800 && r < 0xdc00 && len(c.in) >= 6 && c.in[0] == '\\' && c.in[1] == 'u' && unit(c.in) >= 0xdc00 && unit(c.in) < 0xe000:
		r = 0x10000 + (r-0xd800)<<10 + unit(c.in) - 0xdc00
		c.in = c.in[6:]
	case r == '"' || r == '\\':
		c.out = append(c.out, '\\')
	case r < 0x20 || r >= 0xd800 && r < 0xe000:
		const hex = "0123456789abcdef"
		c.out = append(c.out, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		return
	}
	c.out = append(c.out, string(r)...)
}

// unit returns the code unit of \uXXXX.
func unit(escape []byte) rune {
	n, _ := strconv.ParseUint(string(escape[2:6]), 16, 16) // cannot fail in valid JSON
	return rune(n)
}

// appendCanonicalNumber writes a number as an integer without zeros at either end, and the matching
// exponent: -1.50 becomes -15e-1, and 0 stays 0.
func appendCanonicalNumber(out, n []byte) []byte {
	negative := n[0] == '-'
	mantissa, exponent := n, []byte(nil)
	if negative {
		mantissa = n[1:]
	}
	if e := bytes.IndexAny(mantissa, "eE"); e >= 0 {
		mantissa, exponent = mantissa[:e], mantissa[e+1:]
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	digits := whole
	if len(fraction) > 0 {
		digits = append(bytes.Clone(whole), fraction...)
	}
	digits = bytes.TrimLeft(digits, "0")
	significant := bytes.TrimRight(digits, "0")
	if len(significant) == 0 {
		return append(out, '0')
	}
	if negative {
		out = append(out, '-')
	}
	out = append(append(out, significant...), 'e')
	return appendSum(out, exponent, len(digits)-len(significant)-len(fraction))
}

// appendSum writes the sum of an integer of any length, which may have a sign, and a small number.
func appendSum(out, n []byte, more int) []byte {
	const short = 18 // number of digits that cannot overflow
	negative := len(n) > 0 && n[0] == '-'
	digits := bytes.TrimLeft(n, "+-0")
	if len(digits) <= short {
		sum := int64(more)
		if len(digits) > 0 {
			small, _ := strconv.ParseInt(string(digits), 10, 64) // cannot fail for digits
			if negative {
				small = -small
			}
			sum += small
		}
		return strconv.AppendInt(out, sum, 10)
	}
	if negative {
		out, more = append(out, '-'), -more
	}
	sum := append([]byte("0"), digits...) // the sum has at most one digit more
	for i := len(sum) - 1; more != 0; i-- {
		more += int(sum[i] - '0')
		digit := (more%10 + 10) % 10
		sum[i] = byte('0' + digit)
		more = (more - digit) / 10
	}
	return append(out, bytes.TrimLeft(sum, "0")...)
}
