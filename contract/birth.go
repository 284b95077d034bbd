package contract

import (
	"fmt"
	"strconv"
	"time"
)

// Birth is when a saga was started, in microseconds since 1970: what tells it from
// another one of the same id, which may be started again when the first is forgotten.
// 0 is none. On the wire and in keys it is its String: one spelling, of lower-case letters
// and digits, that may stand in a subject, a URL and a SQL key of any collation.
type Birth int64

// exampleBirth is that of 2026-11-21T12:00:00Z.
const exampleBirth Birth = 1_795_262_400_000_000

// birthBase is the base of a Birth's spelling.
const birthBase = 36

// MaxBirthLength bounds the spelling of a Birth; until 2085 it has 10 characters.
const MaxBirthLength = 13

// BirthOf is the Birth of a saga by the time of its start. Times up to 1970 are 1.
func BirthOf(started time.Time) Birth { return Birth(max(started.UnixMicro(), 1)) }

// ParseBirth reads the spelling of a Birth. Every other one of the same number is a
// *NameError, as is what is none.
func ParseBirth(text string) (Birth, error) {
	n, err := strconv.ParseInt(text, birthBase, 64)
	if b := Birth(n); err == nil && n > 0 && b.spells(text) {
		return b, nil
	}
	return 0, &NameError{"birth", shortened(text), fmt.Sprintf("is not the microseconds of a saga's start in base %d, lower case, such as %s; use it as the command has it", birthBase, exampleBirth)}
}

// spells reports whether text is the spelling of b.
func (b Birth) spells(text string) bool {
	var room [MaxBirthLength]byte
	return string(b.Append(room[:0])) == text
}

// String is the spelling: base 36, lower case, without leading zeros.
func (b Birth) String() string { return strconv.FormatInt(int64(b), birthBase) }

// Append appends the spelling to dst.
func (b Birth) Append(dst []byte) []byte { return strconv.AppendInt(dst, int64(b), birthBase) }

// Time is when the saga was started, in UTC, to the microsecond.
func (b Birth) Time() time.Time { return time.UnixMicro(int64(b)).UTC() }

// MarshalText implements encoding.TextMarshaler.
func (b Birth) MarshalText() ([]byte, error) { return b.Append(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Its error is that of ParseBirth.
func (b *Birth) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBirth(string(text))
	return err
}
