package canary

import "strings"

// Text is UTF-8 with a character of each kind that is interpreted or invisible: C0 and C1 controls,
// DEL, bidirectional controls, line separators and zero-width characters. It tries to forge a line
// that begins with "forged". Text ends with right-to-left letters.
const Text = "canary\a\x00\x1b[31m\x1b]0;title\x07\r\nforged: a line\n\tforged\x7f\u0085\u009b2J\u00ad\u061c\u200b\u200e\u200f\u202a\u202e\u2028\u2029\u2066\u2069\ufeff\U000e0041שלום."

// Bytes is Text followed by invalid UTF-8: a C1 byte, a lone surrogate and an incomplete character.
const Bytes = Text + "\x9b2J\xff\xed\xa0\x80\xe2\x80"

// Obeyed reports whether a character must be escaped. It returns false for line feeds, which Forged
// checks.
func Obeyed(r rune) bool {
	switch {
	case r == '\n':
		return false
	case r < 0x20, r >= 0x7f && r <= 0x9f, r == 0xad, r == 0x61c, r == 0x200b, r == 0x200e, r == 0x200f,
		r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff, r >= 0xe0000 && r <= 0xe007f:
		return true
	}
	return false
}

// Forged reports whether the text contains a line that Text forged.
func Forged(shown string) bool {
	for line := range strings.Lines(shown) {
		if strings.HasPrefix(line, "forged") {
			return true
		}
	}
	return false
}
