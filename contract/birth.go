package contract

import (
	"fmt"
	"strconv"
	"time"
)

// Birth is the time when a saga was started, in microseconds since 1970; 0 means none. It
// distinguishes a saga from earlier, removed sagas with the same id. On the wire and in keys, it is
// written as its String, which is safe in a subject, a URL and an SQL key with any collation.
type Birth int64

// exampleBirth is 2026-11-21T12:00:00Z.
const exampleBirth Birth = 1_795_262_400_000_000

// birthBase is the number base of a Birth's String.
const birthBase = 36

// MaxBirth is the last microsecond of the year 9999, the last one that JSON can express as a time
// (RFC 3339).
const MaxBirth Birth = 253_402_300_799_999_999

// MaxBirthLength bounds the length of a Birth's String. Until 2085 the length is 10.
const MaxBirthLength = 12

// BirthOf returns the Birth of a saga that started at a time. For times up to 1970 it returns 1, for
// times after the year 9999 MaxBirth.
func BirthOf(started time.Time) Birth { return min(Birth(max(started.UnixMicro(), 1)), MaxBirth) }

// ParseBirth is the inverse of String for births from 1 to MaxBirth. It returns a *NameError for any
// other text, even for a different spelling of the same number.
func ParseBirth(text string) (Birth, error) {
	n, err := strconv.ParseInt(text, birthBase, 64)
	if b := Birth(n); err == nil && n > 0 && b <= MaxBirth && b.String() == text {
		return b, nil
	}
	why := fmt.Sprintf("is not a start time in microseconds in base %d, lower case, up to the year 9999, such as %s; "+
		"copy it from the command", birthBase, exampleBirth)
	return 0, &NameError{"birth", Cut(text, MaxNameLength), why}
}

// String returns b in base 36, lower case, without leading zeros.
func (b Birth) String() string { return strconv.FormatInt(int64(b), birthBase) }

// Time returns when the saga was started, in UTC.
func (b Birth) Time() time.Time { return time.UnixMicro(int64(b)).UTC() }

// MarshalText implements encoding.TextMarshaler.
func (b Birth) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It returns the errors of ParseBirth.
func (b *Birth) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBirth(string(text))
	return err
}
