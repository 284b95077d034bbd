// Package boltstore is the embedded store: a log that decides, and a state that follows from it.
//
//	Commit ─▶ prepare ─▶ group ─▶ log.Append ─▶ apply ─▶ overlay ─▶ checkpoint ─▶ bbolt
//	          encode     verdict   one fsync              │                        │
//	                                                      └── Load, List, Due … ───┘
//
// A commit is one record of the log. The record holds items: an item is the new head of one saga, with
// the events, messages and data that came with it. Nothing is computed when it is applied. The newest
// items are in the overlay, by saga. A checkpoint writes what the overlay holds to bbolt, saga by saga, each with all
// its rows and counts in one transaction, and the position in the log with the last one. Opening a
// store applies the log from there; an item that a saga contains already is skipped, by its number.
//
// A read has a window: a snapshot of bbolt, and one of the overlay that belongs to it. A saga in the
// overlay hides what bbolt says of its id, unless bbolt's rows of it cannot be read.
//
// The package keeps I1, I2 and I7 (ARCHITECTURE.md). ADR 0043 gives the reasons.
package boltstore
