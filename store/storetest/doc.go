// Package storetest is the law that every store obeys: the same suite for all
// of them, and a random machine that compares a store with the model (memstore)
// call by call.
//
//	func TestStore(t *testing.T) { storetest.Run(t, func(t *testing.T) storetest.Harness { … }) }
//
// It also makes sagas for tests of stores (Start, Next, Reject, Park …): states,
// events and outbox entries of the right shape, built by hand, so that a store is tested
// without the decisions that would usually lead there.
//
// It keeps the contract of package store: I1 (all or nothing, also over a
// crash), I2 (tombstones), I7 (one writer wins), I10 (pages and cursors).
//
// Failure looks like a failed test that names the rule.
package storetest
