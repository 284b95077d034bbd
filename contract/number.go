package contract

import "math"

// MaxNumber bounds attempt numbers and version numbers.
const MaxNumber = 1<<31 - 1

// ParseNumber parses a number from least to MaxNumber, and reports whether text is such a number.
// It accepts only the spelling of strconv.Itoa: decimal digits without sign, spaces or leading
// zeros. Numbers are parts of keys and subjects, where two spellings of a number would be mistaken
// for two numbers.
func ParseNumber(text string, least int) (n int, ok bool) {
	long, ok := ParseLong(text)
	if !ok || long < uint64(max(least, 0)) || long > MaxNumber {
		return 0, false
	}
	return int(long), true
}

// ParseLong does the same as ParseNumber for 64-bit numbers from 0.
func ParseLong(text string) (n uint64, ok bool) {
	if text == "" || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for i := range len(text) {
		digit := uint64(text[i] - '0')
		if text[i] < '0' || text[i] > '9' || n > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		n = 10*n + digit
	}
	return n, true
}
