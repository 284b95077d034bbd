// Package wiretest holds an example of every message as it travels on NATS: the
// envelope, and the bytes in proto/testdata, which docs/WIRE.md shows.
//
//	example.go ──▶ Envelope ─┐
//	                         ├── encode and decode of a carrier must agree
//	proto/testdata ─▶ Bytes ─┘
//
// It is for tests: of the bytes themselves (package proto, which also rewrites
// them with -update) and of carriers that write and read them.
//
// It keeps I8 for the bus: what an earlier release's participant sends stays
// readable. Failure looks like a failed test that shows both byte strings.
package wiretest
