package contract

// MaxNumber bounds the numbers of attempts and of versions.
const MaxNumber = 1<<31 - 1

// ParseNumber reads a number from least to MaxNumber, and reports whether it is one. It
// takes the one spelling that strconv.Itoa has: decimal digits without a sign, a space
// or a zero in front. Numbers are parts of keys and subjects, and two spellings of one
// attempt would be two of them.
func ParseNumber(text string, least int) (n int, ok bool) {
	if text == "" || len(text) > len("2147483647") || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	var sum int64
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		sum = 10*sum + int64(text[i]-'0')
	}
	if sum < int64(least) || sum > MaxNumber {
		return 0, false
	}
	return int(sum), true
}
