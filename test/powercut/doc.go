// Package powercut cuts the power under the store, lets its file rot, fails its
// fsyncs and fills its disk, and looks whether the promise holds.
//
//	test ──orders──▶ disk: a FUSE file system in a process of its own
//	  │                │  keeps apart what was written and what was fsynced;
//	  │                │  a cut leaves a random part of the difference
//	  │              mount
//	  │                │
//	  └──◀─acks── load: Engines on a boltstore, or the whole server
//
// It holds tests only; the processes are the test binary, started again. The
// disk is a process of its own because bbolt maps its file: one process that
// both reads the mapping and serves it waits for itself.
//
// A cut comes before a write, a truncation, a new name or an fsync that is drawn
// from the seed, and so does what it leaves: of the 512-byte sectors written
// since the last fsync any subset, in any version; of the names changed since
// the last fsync of a directory any beginning. A second engine shuts an ext4
// file system on a loop device down (the kernel's own power cut).
//
// After every cut the file opens, and everything that was acknowledged is there:
// no state older or other than was said (I1, I2), every history folds to its
// state (I8), exactly the commands pending that the history enqueues. Under the whole
// server, package world has the callers, the participants and the audit. The same with a
// disk that only pretends to fsync has to be caught, or the test is worth
// nothing.
//
// The tests are behind the build tag lab: "make lab-powercut" runs them in the short
// form that CI runs, "make lab-powercut CUTS=10000" in the long one. Where
// root, FUSE or loop devices are missing the tests skip and say so.
//
// It does not test buses and participants that lose their disks (that is
// internal/lab/reliability), nor disks that lose what they acknowledged: from those
// nobody recovers without a copy.
//
// Failure looks like a failed test that names the seed, the cut and the saga.
package powercut
