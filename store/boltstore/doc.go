// Package boltstore is the embedded store: one file, one process, and every commit on disk before
// it is answered.
//
//	Commit ─┐ encode            ┌──────────── committer ────────────┐
//	Commit ─┼──▶ queue ──gather──▶ check revisions ▸ put ▸ fsync ×2 ├──▶ answers
//	Commit ─┘                   └──── one bbolt transaction ────────┘
//	Load, List, Due, Owed, Backup ──▶ read transactions, which never block the committer
//
// One goroutine writes. The calls that arrive while it writes a transaction to disk share the next
// one: one fsync carries hundreds of changes, and no call is delayed to fill a group. layout.go
// describes the file.
//
// It keeps I1 (one transaction per change at most), I2 (what was answered has been fsynced;
// tombstones), I7 (the one writer compares revisions), and I10 (Options and the constants beside
// it).
//
// Failures: bbolt's pages carry no checksum, so every record has one, which covers its key too. A
// damaged record is a *store.CorruptError for its saga alone. Calls that read many records (Due,
// List, Owed) skip it and report it to Options.OnCorrupt. Open checks the structure around the
// records page by page; damage there is an error that says to restore a backup, never a panic or a
// missing saga. The first commit that fails breaks the store (store.ErrBroken): a failed fsync
// must not be repeated, so the process ends and starts again with what the disk has. A full disk
// is such a failure; Check warns before it happens.
//
// The file is never compacted: free pages are reused (Space).
package boltstore
