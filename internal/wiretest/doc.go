// Package wiretest holds an example of every message on NATS. An example consists of the envelope,
// and of the bytes in proto/testdata, which docs/WIRE.md shows.
//
//	example.go ──▶ Envelope ─┐
//	                         ├── encode and decode of a carrier must agree
//	proto/testdata ─▶ Bytes ─┘
//
// It is only for tests. Package proto tests the bytes themselves, and rewrites them with -update.
// Carriers test that they encode and decode the examples.
//
// It keeps I8 for the bus: messages of an earlier release's participant can still be decoded. A
// failed test shows both byte strings.
package wiretest
