// Package protoconv holds the rules that all conversions between the domain types and protobuf
// share: how enum values and times are encoded as numbers, and which bytes are refused.
//
//	sagapb   ──┐
//	              ├──▶ protoconv ──▶ proto/amends/v1
//	outboxpb ──┘
//
// It does not know sagas or records.
//
// Invariants: decoding an encoded value returns the same value, and arbitrary bytes never cause a
// panic (I9). A failure is an error that names the field, its value and what would be valid.
package protoconv
