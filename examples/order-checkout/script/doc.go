// Package script writes the orders that the demo places: of every kind at least
// one, the rest by chance, the same ones for the same seed; or reads them from a
// file.
//
//	seed, n ──▶ Generate ─┐
//	                      ├──▶ []checkout.Order
//	file ─────▶ Read ─────┘
//
// It does not place them.
//
// Failure looks like a *LineError, which names the line of the file and
// everything that is wrong in it.
package script
