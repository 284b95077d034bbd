package contract

import "math"

// MaxNumber bounds the numbers of attempts and of versions.
const MaxNumber = 1<<31 - 1

// ParseNumber reads a number from least to MaxNumber, and reports whether it is one. It
// takes the one spelling that strconv.Itoa has: decimal digits without a sign, a space
// or a zero in front. Numbers are parts of keys and subjects, and two spellings of one
// attempt would be two of them.
func ParseNumber(text string, least int) (n int, ok bool) {
	long, ok := ParseLong(text)
	if !ok || long < uint64(max(least, 0)) || long > MaxNumber {
		return 0, false
	}
	return int(long), true
}

// ParseLong is ParseNumber for the numbers of 64 bits.
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
