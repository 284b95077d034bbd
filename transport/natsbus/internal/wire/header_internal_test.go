package wire

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// White space around a header's value is removed, whichever program has encoded the bundle.
func TestTrim(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[ \t]{0,2}([a\x01é]|[a ]{0,3})[ \t]{0,2}`).Draw(t, "value")
		if got, want := Trim(value), strings.Trim(value, " \t"); got != want {
			t.Errorf("%q becomes %q, want %q", value, got, want)
		}
	})
}
