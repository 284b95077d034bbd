// Package store is the interface between the coordinator and its database: one operation that
// writes sagas (Commit), and those that read what is needed after a crash.
//
// It keeps I1 (a transition's state, outbox entries and timer are committed together), I2
// (tombstones: a start is never accepted twice), I7 (expected revisions) and I10 (bounded pages and
// retention). It makes no decisions and sends nothing.
//
// A failure is a *ConflictError, a *TombstoneError or a *CorruptError for one saga, or ErrBroken if
// the database itself failed; the process then ends.
package store
