package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestNumbers checks that numbers on the command line are plain decimal: 017 is refused, and not
// read as 15.
func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		args  []string
		takes bool
	}{
		{[]string{"--int=17", "--uint=17", "--list=1,17"}, true},
		{[]string{"--int=-17"}, true},
		{[]string{"--int=017"}, false},
		{[]string{"--int=0x11"}, false},
		{[]string{"--int=+17"}, false},
		{[]string{"--int=1_7"}, false},
		{[]string{"--int=-017"}, false},
		{[]string{"--uint=017"}, false},
		{[]string{"--uint=0b1"}, false},
		{[]string{"--uint=-1"}, false},
		{[]string{"--uint=18446744073709551616"}, false},
		{[]string{"--list=1,017"}, false},
	} {
		var flags struct {
			Int  int
			Uint uint64
			List []uint64
		}
		parser, err := kong.New(&flags, decimals()...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(tt.args)
		if (err == nil) != tt.takes || tt.takes && flags.Int != 17 && flags.Int != -17 {
			t.Errorf("%v: %+v, %v", tt.args, flags, err)
		}
	}
	// The program's grammar uses the same mapper.
	for _, args := range [][]string{{"dead-letters", "discard", "017"}, {"definition", "show", "checkout/01"}, {"list", "-n", "010"}} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), slices.Concat(args, []string{"--server", "http://127.0.0.1:1"}), strings.NewReader(""), &out, &errs)
		if code != ExitUsage {
			t.Errorf("%v: exit code %d, %s", args, code, errs.String())
		}
	}
}
