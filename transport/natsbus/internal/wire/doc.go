// Package wire converts envelopes to NATS messages and back: attributes are headers,
// percent-encoded as in the CloudEvents NATS binding, and the data stays unchanged (docs/WIRE.md).
//
//	transport.Envelope ◀── Encode, Borrow │ Decode, DecodeBlock ──▶ nats.Msg
//
// It sends nothing and knows no streams. Failures are errors that name the header, its value and
// what is valid; what could be decoded is returned too.
package wire
