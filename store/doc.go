// Package store defines the interface between the coordinator and its database: one method that
// writes sagas (Commit), and methods that read the data needed after a crash.
//
// It keeps I1 (a transition's state, outbox entries and timer are committed together), I2
// (tombstones: a start is never accepted twice), I7 (expected revisions) and I10 (bounded pages and
// retention). It makes no decisions and sends nothing.
//
// A failure of one saga is a *ConflictError, a *TombstoneError or a *CorruptError. A failure of the
// database itself is ErrBroken, after which the process ends.
//
// The package is for whoever implements a part of the coordinator. A minor version may add methods
// to its interfaces and change its types (RELEASING.md).
package store
