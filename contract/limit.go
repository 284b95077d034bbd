package contract

// Limits on the messages between coordinator and participants, in bytes (I10). They are enforced
// wherever data enters. docs/WIRE.md says what happens to data beyond the limits.
const (
	// MaxPayload bounds the data of a start, request or result.
	MaxPayload = 256 << 10
	// MaxReason bounds the reason that a participant or an operator gives.
	MaxReason = 1 << 10
)

// ClassBadResult is the beginning of an attempt's reason if the participant completed the attempt,
// but the result cannot be stored because it is invalid or too large.
const ClassBadResult = "bad-result"
