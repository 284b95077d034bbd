// Package wire turns envelopes into NATS messages, and back: attributes are headers,
// percent-encoded as the CloudEvents NATS binding asks, and the data stays as it is
// (docs/WIRE.md).
//
//	transport.Envelope ◀── Encode, Borrow │ Decode, DecodeBlock ──▶ nats.Msg
//
// It does not send, and knows no streams. Failure looks like an error that names the header,
// its value and what would be right; what could be read is returned beside it.
package wire
