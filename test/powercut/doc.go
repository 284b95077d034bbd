// Package powercut cuts the power under the store, corrupts its file, fails its fsyncs and fills
// its disk. It then checks that no acknowledged state is lost.
//
//	test ──orders──▶ disk: a FUSE file system in a process of its own
//	  │                │  keeps apart what was written and what was fsynced;
//	  │                │  a cut leaves a random part of the difference
//	  │              mount
//	  │                │
//	  └──◀─acks── load: Engines on a boltstore, or the whole server
//
// It holds tests only; the processes are the test binary, started again. The disk is a separate
// process because bbolt maps its file: a process that reads the mapping and also serves it would
// deadlock.
//
// A cut replaces a write, a truncation, a change of names or an fsync. The seed determines which
// one, and what remains after the cut: any subset of the 512-byte sectors written since the last
// fsync, each in any version, and any prefix of the name changes since the last fsync of a
// directory. Another test shuts down an ext4 file system on a loop device (the kernel's own power
// cut).
//
// After every cut the file must open with everything that was acknowledged. No state is older than
// or different from the acknowledged one (I1, I2), every history folds to its state (I8), and
// exactly the commands that the history enqueues are pending. For tests of the whole server,
// package world provides the callers, the participants and the audit. The tests must also detect a
// disk that only pretends to fsync; otherwise they would prove nothing.
//
// The tests need the build tag lab: "make lab-powercut" runs them in the short form that CI runs,
// "make lab-powercut CUTS=10000" in the long one. Without root, FUSE or loop devices the tests are
// skipped.
//
// It does not test buses and participants that lose their disks (internal/lab/reliability does). It
// does not test disks that lose acknowledged data either, because no store can recover from that
// without a copy.
//
// A failure is a failed test that names the seed, the cut and the saga.
package powercut
