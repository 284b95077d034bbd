// Package packed unpacks the stores that earlier releases left, which the repository
// keeps in testdata. Nothing but tests uses it.
//
//	testdata/layout-1.db.gz ──▶ packed.Unpack ──▶ a file that Open upgrades, verify refuses, a crash interrupts
//
// Invariant: the file is what the release of then wrote, byte for byte. Failure looks like
// an error of the file system's or of gzip's.
package packed
