// Package outboxpb encodes pending messages (outbox.Record) for a store, and decodes them
// (proto/amends/v1/record.proto, envelope.proto).
//
//	outbox.Record ──AppendRecord──▶ bytes ──UnmarshalRecord──▶ outbox.Record
//	outbox.Record ──AppendAbridged──▶ bytes ──UnmarshalAbridged──▶ outbox.Record
//
// The abridged form omits fields that can be derived from others (docs/adr/0019).
//
// Invariants: decoding an encoded record returns an equal record, except that times are in UTC and
// empty data is nil. Equal records have equal encodings. Decoding arbitrary bytes returns an error
// and never panics (I9).
//
// The encoding has no checksum and no version; the store adds both. This package does not encode
// bus messages: on NATS, an envelope is sent as headers (docs/WIRE.md).
//
// A failure is an error that names the record and the field.
package outboxpb
