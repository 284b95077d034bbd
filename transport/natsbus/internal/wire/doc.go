// Package wire converts between envelopes and NATS messages. Attributes are headers,
// percent-encoded as in the CloudEvents NATS binding, and the data stays unchanged (docs/WIRE.md).
//
//	transport.Envelope ◀── Encode, Borrow │ Decode, DecodeBlock ──▶ nats.Msg
//
// It sends nothing and does not depend on streams. An error contains the header, its value and what
// is valid; the valid parts are returned too.
package wire
