// Package script generates the orders of the demo, or reads them from a file. It generates at least
// one order of every kind, and the rest at random. The same seed gives the same orders.
//
//	seed, n ──▶ Generate ─┐
//	                      ├──▶ []checkout.Order
//	file ─────▶ Read ─────┘
//
// It does not place the orders.
//
// A *LineError holds the number of a line in the file and all errors in that line.
package script
