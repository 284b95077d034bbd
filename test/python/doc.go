// Package python proves that the requests of the coordinator need no SDK. vectors.py is written in
// Python according to docs/WIRE.md, and shares no code with Amends.
//
//	proto/testdata/vectors.json ──JSON──▶ python3 vectors.py ──▶ protobuf, as in the file
//	                            ◀─JSON──                     ◀── protobuf
//
// It needs Python 3.8 or later, and nothing but its standard library. Without Python, the test is
// skipped.
//
// It checks I8 and I9 in a different language: encodings that later releases must not change, and
// JSON that is refused. A failure names a vector and what vectors.py produced for it.
package python
