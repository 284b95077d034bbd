// Package store is the seam between the coordinator and its database: one operation
// that writes sagas (Commit), and what must be readable to go on after a crash.
//
// It keeps I1 (state, outbox entries and timer of a transition together), I2 (tombstones:
// a start is never accepted twice), I7 (expected revisions) and I10 (pages and
// retention are bounded). It does not decide and does not send.
//
// Failure looks like a *ConflictError, a *TombstoneError or a *CorruptError for
// one saga, and like ErrBroken when the database itself failed: then the process
// ends.
package store
