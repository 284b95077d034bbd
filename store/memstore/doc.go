// Package memstore is a store in memory: the reference model for random tests, and the store of the
// simulator and of unit tests.
//
//	Commit ──▶ Hooks.Before ──▶ maps of written records ──▶ Hooks.After ──▶ answer
//	              │ conflicts, failures                         │ failures after the fact
//
// It keeps the contract of package store (I1, I2, I7), without files, goroutines or a clock.
// Commits are encoded, decoded when first read, as from a disk, and returned as copies, so that no
// caller shares its memory. Lookups are plain loops, so that their correctness is obvious. It is
// deterministic.
//
// Failures are those of every store. Hooks inject them: a spurious conflict, or a store that breaks
// before or after a commit. Reopen simulates the restart.
package memstore
