// Package payment is the service that charges cards and refunds them.
//
//	charge-card ─▶ balance − cents, a line in the ledger, a receipt
//	refund-card ─▶ balance + cents, a line in the ledger
//
// It does not know what the money is for. The inbox, not the handlers, ensures that a charge that
// is delivered twice charges the card once (I5).
//
// A rejection gives the reason why the card was declined.
package payment
