package contract

// Limits on what the two ends send each other, in bytes (I10). They are held at
// every door: docs/WIRE.md says what happens beyond each.
const (
	// MaxPayload bounds the data of a start, a request or a result.
	MaxPayload = 256 << 10
	// MaxReason bounds the reason that a participant or an operator gives.
	MaxReason = 1 << 10
)

// ClassBadResult begins the reason of an attempt that was answered as completed, with a
// result that cannot be kept: no valid data, or too much of it.
const ClassBadResult = "bad-result"
