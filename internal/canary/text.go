package canary

import "strings"

// Text is UTF-8 with a character of each kind that is obeyed or hidden: C0, C1, DEL, those
// that turn the direction of text, separators of lines, what has no width. It tries to
// write a line that begins with "forged", and ends in letters that run from right to left.
const Text = "canary\a\x00\x1b[31m\x1b]0;title\x07\r\nforged: a line\n\tforged\x7f\u0085\u009b2J\u00ad\u061c\u200b\u200e\u200f\u202a\u202e\u2028\u2029\u2066\u2069\ufeff\U000e0041שלום."

// Bytes are Text and what is no UTF-8: C1 as a byte, a lone surrogate, half a character.
const Bytes = Text + "\x9b2J\xff\xed\xa0\x80\xe2\x80"

// Obeyed reports whether a character must not be shown as it is. A line feed is none:
// where lines end is Forged's.
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

// Forged reports whether a stranger wrote a line of their own.
func Forged(shown string) bool {
	for line := range strings.Lines(shown) {
		if strings.HasPrefix(line, "forged") {
			return true
		}
	}
	return false
}
