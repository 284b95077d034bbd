// Package progress displays the progress of the orders.
//
//	placed · moved · ended · said ──▶ Board ─┬─▶ a terminal: finished orders scroll by, open ones stay below
//	                                         └─▶ a pipe or file: one line for each that ended
//
// It translates the names of the checkout's steps into plain words. It makes no requests.
//
// An order that needs an operator is shown as parked.
package progress
