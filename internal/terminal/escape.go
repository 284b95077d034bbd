package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Escape writes as escapes what a terminal would obey or not show: control characters
// (C0, DEL, C1), separators of lines and paragraphs, format characters (the marks,
// embeddings, overrides and isolates of bidirectional text, and what has no width, but for
// the joiners that scripts need), and bytes that are no UTF-8. Escapes of characters are
// those of JSON, \n or \u202e; such of bytes are \x9b.
func Escape(text string) string { return escape(text, false) }

// escape is Escape, or leaves line feeds and tabs as they are.
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

// unsafeAt is where the first character stands that has to be escaped; -1: there is none.
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

// unsafe reports whether a character beyond ASCII has to be escaped.
func unsafe(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r != nonJoiner && r != joiner && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
