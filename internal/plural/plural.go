package plural

import "fmt"

// Of returns n followed by the text one if n is 1, or by the text many otherwise.
func Of[N ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
