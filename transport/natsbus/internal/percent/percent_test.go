package percent_test

import (
	"strings"
	"testing"

	"github.com/amends-dev/amends/transport/natsbus/internal/percent"
)

// TestWhatStandsForItself: printable ASCII except space, double quote and percent is not encoded.
// Every other byte becomes % and two digits.
func TestWhatStandsForItself(t *testing.T) {
	const itself = "!#$&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"
	for c := range 256 {
		text := string([]byte{'a', byte(c), 'b'})
		encoded := percent.Encode(text)
		if plain := strings.IndexByte(itself, byte(c)) >= 0; plain != (encoded == text) || !plain && len(encoded) != len("a%00b") {
			t.Errorf("%q is written %q", text, encoded)
		}
		if back, ok := percent.Decode(encoded); !ok || back != text {
			t.Errorf("%q is read as %q", encoded, back)
		}
	}
}
