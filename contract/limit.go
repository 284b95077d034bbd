package contract

// Limits on what coordinator and participants send each other, in bytes (I10). They are enforced
// wherever data enters; docs/WIRE.md says what happens beyond each.
const (
	// MaxPayload bounds the data of a start, a request or a result.
	MaxPayload = 256 << 10
	// MaxReason bounds the reason that a participant or an operator gives.
	MaxReason = 1 << 10
)

// ClassBadResult starts the reason of an attempt that was answered as completed, but with a result
// that cannot be stored: invalid or too large.
const ClassBadResult = "bad-result"
