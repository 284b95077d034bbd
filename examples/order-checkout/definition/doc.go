// Package definition defines the checkout saga: its commands, their sequence, and their undos.
//
//	open-order ▶ reserve-stock ▶ charge-card ▶ book-shipment ▶ confirm-order
//	    ◀ cancel     ◀ release      ◀ refund   (no way back)
//
// Programs that start the saga import it. Services import only package checkout.
//
// An invalid definition panics at start-up with a list of all its errors.
package definition
