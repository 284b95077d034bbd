package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Escape escapes text that a terminal would interpret or not display: control characters (C0, DEL,
// C1), line and paragraph separators, format characters, and invalid UTF-8. Format characters are
// bidirectional controls and zero-width characters, except for joiners, which some scripts need.
// Characters are escaped as in JSON, such as \n or \u202e, and invalid bytes like \x9b.
func Escape(text string) string { return escape(text, false) }

// escape is like Escape, but keeps line feeds and tabs if lines is true.
func escape(text string, lines bool) string {
	at := unsafeAt(text, lines)
	if at < 0 {
		return text
	}
	var b strings.Builder
	for at >= 0 {
		b.WriteString(text[:at])
		r, size := utf8.DecodeRuneInString(text[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[at])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[at+size:]
		at = unsafeAt(text, lines)
	}
	b.WriteString(text)
	return b.String()
}

// unsafeAt returns the index of the first character to escape, or -1.
func unsafeAt(text string, lines bool) int {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && size == 1 || unsafe(r) {
				return i
			}
			i += size - 1
		case c < ' ' && !(lines && (c == '\n' || c == '\t')), c == 0x7f:
			return i
		}
	}
	return -1
}

// unsafe reports whether a non-ASCII character must be escaped.
func unsafe(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r != nonJoiner && r != joiner && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
