package contract_test

import (
	"regexp"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/contract"
)

// TestParseNumber checks that a number has exactly one accepted spelling.
func TestParseNumber(t *testing.T) {
	for _, text := range []string{
		"", "00", "01", "007", "+1", "-1", "-0", " 1", "1 ", "1\n", "\t1", "1_0", "1,0", "1.", "1.0", "1e0", "0x1", "0b1", "0o1", "1a", "\x001",
		"١", "１", "1\u200b", "\u202e1", "2147483648", "4294967297", "9999999999", "18446744073709551617",
	} {
		if n, ok := contract.ParseNumber(text, 0); ok {
			t.Errorf("%q was read as %d", text, n)
		}
	}
	if _, ok := contract.ParseNumber("0", 1); ok {
		t.Error("0 is no number from 1")
	}
	right := regexp.MustCompile(`^(0|[1-9][0-9]{0,9})$`)
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.IntRange(0, 1<<31-1).Draw(t, "number")
		if n, ok := contract.ParseNumber(strconv.Itoa(number), 0); !ok || n != number {
			t.Fatalf("%d was read as %d, %v", number, n, ok)
		}
		text := rapid.StringMatching(`[0-9+\-_ .ex]{0,12}`).Draw(t, "text")
		if n, ok := contract.ParseNumber(text, 0); ok && (!right.MatchString(text) || strconv.Itoa(n) != text) {
			t.Fatalf("%q was read as %d", text, n)
		}
	})
}

// TestParseLong checks the same up to the largest 64-bit number.
func TestParseLong(t *testing.T) {
	for _, text := range []string{"", "00", "01", "+1", "-1", " 1", "1 ", "0x1", "１", "18446744073709551616", "18446744073709551625", "28446744073709551615", "100000000000000000000"} {
		if n, ok := contract.ParseLong(text); ok {
			t.Errorf("%q was read as %d", text, n)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Uint64().Draw(t, "number")
		if n, ok := contract.ParseLong(strconv.FormatUint(number, 10)); !ok || n != number {
			t.Fatalf("%d was read as %d, %v", number, n, ok)
		}
	})
}
