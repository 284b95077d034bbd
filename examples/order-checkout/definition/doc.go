// Package definition is the checkout saga: which commands run, in which order,
// and what takes them back.
//
//	open-order ▶ reserve-stock ▶ charge-card ▶ book-shipment ▶ confirm-order
//	    ◀ cancel     ◀ release      ◀ refund   (no way back)
//
// Whoever starts the saga imports it. Services do not: they need package
// checkout only.
//
// Failure looks like a panic at start-up with the list of everything that is
// wrong with the definition.
package definition
