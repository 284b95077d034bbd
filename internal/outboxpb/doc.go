// Package outboxpb turns pending messages into bytes, and back: what a store keeps of
// outbox.Record (proto/amends/v1/record.proto, envelope.proto).
//
//	outbox.Record ──AppendRecord──▶ bytes ──UnmarshalRecord──▶ outbox.Record
//	outbox.Record ──AppendAbridged──▶ bytes ──UnmarshalAbridged──▶ outbox.Record
//
// The abridged form leaves out what follows from the rest (docs/adr/0019).
//
// Laws: what is accepted when it is written is given back equal, except that
// times come back in UTC and empty data comes back nil; the same record makes
// the same bytes; arbitrary bytes make an error, never a panic (I9).
//
// It adds no checksum and no version to the bytes; the store does. It does not
// write bus messages: on NATS an envelope travels as headers (docs/WIRE.md).
//
// Failure looks like an error that names the record and the field.
package outboxpb
