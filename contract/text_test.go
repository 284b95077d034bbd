package contract_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
)

// TestCut checks that a text is cut between characters, stays within its limit and is valid UTF-8,
// and that a short, valid text stays as it is.
func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, most := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")), rapid.IntRange(3, 40).Draw(t, "most")
		got := contract.Cut(text, most)
		kept, isCut := strings.CutSuffix(got, "…")
		switch {
		case len(got) > max(most, 3) && len(text) > most || !utf8.ValidString(got):
			t.Fatalf("%q of %q", got, text)
		case utf8.ValidString(text) && len(text) <= most && got != text:
			t.Fatalf("%q of %q", got, text)
		case utf8.ValidString(text) && len(text) > most && (!isCut || !strings.HasPrefix(text, kept) || most-len(got) > utf8.UTFMax):
			t.Fatalf("%q of %q", got, text)
		}
	})
}
