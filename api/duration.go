package api

import (
	"fmt"
	"strings"
	"time"

	contract "github.com/amends-dev/amends/contract"
)

// Duration is a time.Duration whose JSON is a string of decimal seconds with the suffix s, such as
// "0.5s", as in the JSON mapping of protobuf's Duration.
type Duration time.Duration

// MaxDuration bounds a Duration in a request: it must be below MaxDuration and above -MaxDuration.
const MaxDuration = 10_000 * 24 * time.Hour

// For returns a pointer to a Duration, for an optional field.
func For(d time.Duration) *Duration {
	out := Duration(d)
	return &out
}

// Or returns the duration, or other if d is nil.
func (d *Duration) Or(other time.Duration) time.Duration {
	if d == nil {
		return other
	}
	return time.Duration(*d)
}

// String returns decimal seconds with the suffix s.
func (d Duration) String() string {
	sign, nanos := "", uint64(d)
	if d < 0 {
		sign, nanos = "-", -nanos
	}
	whole, rest := nanos/uint64(time.Second), nanos%uint64(time.Second)
	if rest == 0 {
		return fmt.Sprintf("%s%ds", sign, whole)
	}
	return sign + strings.TrimRight(fmt.Sprintf("%d.%09d", whole, rest), "0") + "s"
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. The error does not quote the text.
func (d *Duration) UnmarshalText(text []byte) error {
	wrong := fmt.Errorf(`is not a duration; write decimal seconds with the suffix s, such as "30s" or "0.5s", up to "%ds"`, int64(MaxDuration/time.Second)-1)
	number, ok := strings.CutSuffix(string(text), "s")
	number, negative := strings.CutPrefix(number, "-")
	whole, fraction, dotted := strings.Cut(number, ".")
	if !ok || dotted && fraction == "" || len(fraction) > 9 || strings.Trim(fraction, "0123456789") != "" {
		return wrong
	}
	seconds, ok := contract.ParseLong(whole)
	if !ok || seconds >= uint64(MaxDuration/time.Second) {
		return wrong
	}
	nanos := time.Duration(0)
	for _, digit := range (fraction + "000000000")[:9] {
		nanos = 10*nanos + time.Duration(digit-'0')
	}
	*d = Duration(time.Duration(seconds)*time.Second + nanos)
	if negative {
		*d = -*d
	}
	return nil
}
