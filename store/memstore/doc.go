// Package memstore is the store without a disk: the model that says what every
// store does, for random tests, the simulator and the tests of shells.
//
//	Commit ──▶ Hooks.Before ──▶ maps of written records ──▶ Hooks.After ──▶ answer
//	              │ conflicts, failures                         │ failures after the fact
//
// It keeps the contract of package store (I1, I2, I7) and nothing else: no file,
// no goroutine, no clock. What is committed is written down, read back from there
// by the first who asks, as from a disk, and handed out as copies, so that no
// caller shares memory with it; it is looked up by plain loops, so that it can be
// believed. The same calls give
// the same results.
//
// Failure looks as in every store. Hooks inject it: a conflict that did not
// happen, a store that breaks before or after it has committed. Reopen is the
// restart after that.
package memstore
