// Package memstore is a store in memory: the reference model for random tests, and the store of the
// simulator and of unit tests.
//
//	Commit ──▶ Hooks.Before ──▶ maps of encoded records ──▶ Hooks.After ──▶ results
//	              │ conflicts, failures                         │ failures after the commit
//
// It keeps the contract of package store (I1, I2, I7) without files, goroutines or a clock. Commit
// encodes states. The first read decodes a state, as a store on disk would. Callers get copies, so
// that they share no memory with the store. Lookups are plain loops, so that their correctness is
// obvious. The store is deterministic.
//
// It fails as every store does. Hooks inject failures: a spurious conflict, or a store that breaks
// before or after a commit. Reopen simulates a restart.
package memstore
