package percent

import "strings"

const hex = "0123456789ABCDEF"

// plain reports whether a byte is not encoded. Plain bytes are printable ASCII except space, double
// quote and percent (CloudEvents HTTP binding 3.1.3.2, which the NATS binding uses).
func plain(c byte) bool { return isPlain[c] }

var isPlain = func() (is [256]bool) {
	for c := byte('!'); c <= '~'; c++ {
		is[c] = c != '"' && c != '%'
	}
	return is
}()

// Encode replaces every byte of s that is not plain by %XX.
func Encode(s string) string {
	n := 0
	for i := range len(s) {
		if !plain(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 2*n)
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// Decode reverses Encode. It returns false if a % is not followed by two hexadecimal digits.
func Decode(s string) (string, bool) {
	if !strings.Contains(s, "%") {
		return s, true
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, ok1 := digit(s[i+1])
		low, ok2 := digit(s[i+2])
		if !ok1 || !ok2 {
			return "", false
		}
		b.WriteByte(high<<4 | low)
		i += 2
	}
	return b.String(), true
}

func digit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
