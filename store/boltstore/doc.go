// Package boltstore is the embedded store: one file, used by one process. Every commit is on disk
// before Commit returns.
//
//	Commit ─┐ encode            ┌──────────── committer ────────────┐
//	Commit ─┼──▶ queue ──batch──▶ check revisions ▸ put ▸ fsync ×2  ├──▶ results
//	Commit ─┘                   └──── one bbolt transaction ────────┘
//	Load, List, Due, Pending, Backup ──▶ read transactions, which never block the committer
//
// One goroutine writes. Calls that arrive during a disk write share the next transaction, so one
// fsync makes hundreds of changes durable. No call is delayed to fill a batch. layout.go describes
// the file.
//
// The package keeps I1 (a change is written in a single transaction), I2 (a confirmed commit has
// been fsynced, and a removed saga leaves a tombstone), I7 (the single writer compares revisions),
// and I10 (the limits in options.go).
//
// Failures: bbolt's pages have no checksum, so every record has a checksum that also covers the
// record's key. A damaged record is reported as a *store.CorruptError and affects only its saga.
// Calls that read many records (Due, List, Pending) skip a damaged record and report it to
// Options.OnCorrupt. Open checks the bbolt pages around the records. If the pages are damaged, Open
// returns an error that says to restore a backup; Open never panics or loses a saga silently. The
// first failed commit makes the store unusable (store.ErrBroken): a failed fsync must not be
// repeated, so the process has to restart from the data on disk. A full disk is such a failure;
// Check warns before the disk is full.
//
// The file is never compacted; free pages are reused (see Space).
package boltstore
