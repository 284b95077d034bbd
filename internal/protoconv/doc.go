// Package protoconv holds the rules that all conversions between the domain and
// protobuf follow: how a word becomes a number, how a time becomes a number, and
// what bytes are refused.
//
//	sagapb   ──┐
//	              ├──▶ protoconv ──▶ proto/amends/v1
//	outboxpb ──┘
//
// It does not know what a saga or a record is.
//
// Invariants: what Marshal accepts, Unmarshal gives back; arbitrary bytes never
// panic (I9). Failure looks like an error that names the field, what it holds
// and what would be right.
package protoconv
