// Package sagapb turns sagas and their events into bytes, and back: what a store keeps
// (proto/amends/v1/record.proto).
//
//	*machine.Instance ──AppendInstance──▶ bytes ──UnmarshalInstance──▶ *machine.Instance
//	*machine.Event    ──AppendEvent─────▶ bytes ──UnmarshalEvent─────▶ *machine.Event
//
// Laws:
//
//   - What Append accepts, Unmarshal gives back equal, except that times come
//     back in UTC without a monotonic reading, and that empty data and empty
//     lists come back nil: nil and empty mean the same.
//   - The same value makes the same bytes.
//   - Arbitrary bytes make an error, never a panic (I9).
//
// It adds no checksum and no version to the bytes; the store does, because only
// it knows where they lie. It does not check what Decide guarantees, only what a
// reader needs.
//
// Failure looks like an error that names the saga and the field.
// A record of a later release is refused (protoconv.ErrLater, or a number that
// is not known) rather than read in part.
package sagapb
