// Package boltstore is the embedded store: one file, one process, every commit
// on disk before it is answered.
//
//	Commit ─┐ encode            ┌──────────── committer ────────────┐
//	Commit ─┼──▶ queue ──gather──▶ check revisions ▸ put ▸ fsync ×2 ├──▶ answers
//	Commit ─┘                   └──── one bbolt transaction ────────┘
//	Load, List, Due, Owed, Backup ──▶ read transactions, never in the way
//
// One goroutine writes. While its transaction is on the way to the disk, the
// next callers gather, and the next transaction takes all of them: one fsync
// carries hundreds of changes, and nobody waits for company. The layout of the
// file is in layout.go.
//
// It keeps I1 (one transaction per change at most), I2 (what was answered has
// been fsynced; tombstones), I7 (revisions are compared by the one writer), and
// I10 (Options and the constants beside it).
//
// Failure: bbolt's pages carry no checksum, so every record has one, over its
// key too. A damaged record is a *store.CorruptError for its saga alone; where
// many are read (Due, List, Owed) it is passed over and reported to
// Options.OnCorrupt. The structure around the records is checked by Open, page
// by page; damage there is an error that says to restore a backup, not a panic
// and not a missing saga. The first commit that fails breaks the store
// (store.ErrBroken): a failed fsync must not be repeated, so the process ends
// and starts again on what the disk has. A full disk is such a failure; Check
// sees it coming.
//
// It does not compact the file: pages that fall free are used again (Space).
package boltstore
