// Package progress shows what happens to the orders while it happens.
//
//	placed · moved · ended · said ──▶ Board ─┬─▶ a terminal: finished orders scroll by, open ones stay below
//	                                         └─▶ a pipe or file: one line for each that ended
//
// It knows the steps of the checkout by name and says them in plain words. It
// does not ask anybody anything.
//
// Failure looks like an order that is shown as parked.
package progress
