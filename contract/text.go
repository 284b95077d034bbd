package contract

import (
	"strings"
	"unicode/utf8"
)

// Cut returns a text as valid UTF-8. The parameter most is the maximum length in bytes. Bytes that
// are not UTF-8 are replaced by U+FFFD. A longer text is cut between two characters, and ends in an
// ellipsis.
func Cut(text string, most int) string {
	if len(text) <= most && utf8.ValidString(text) {
		return text
	}
	long := len(text) > most
	if long {
		text = text[:max(most, 0)] // avoids scanning the rest
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if !long && len(text) <= most {
		return text
	}
	const ellipsis = "…"
	end := min(max(most-len(ellipsis), 0), len(text))
	for end > 0 && end < len(text) && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}
