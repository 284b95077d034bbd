// Package sagapb encodes sagas and their events for a store, and decodes them
// (proto/amends/v1/record.proto).
//
//	*machine.Instance ──AppendInstance──▶ bytes ──UnmarshalInstance──▶ *machine.Instance
//	*machine.Event    ──AppendEvent─────▶ bytes ──UnmarshalEvent─────▶ *machine.Event
//
// A store that keeps the start of a saga once uses MarshalStart, and MarshalRest for what changes.
//
// Invariants:
//
//   - Decoding an encoded value returns an equal value (of MarshalRest, with packed results), except that times are in UTC without a
//     monotonic reading, and that empty data and empty lists are nil: nil and empty mean the same.
//   - Equal values have equal encodings.
//   - Decoding arbitrary bytes returns an error and never panics (I9).
//
// The encoding has no checksum and no version. The store adds both, because only it knows where the
// bytes are stored. This package does not check what Decide guarantees, but only what a reader
// needs.
//
// A failure is an error that names the saga and the field. A record of a later release is refused
// and not read in part (protoconv.ErrLater, or an unknown enum number).
package sagapb
