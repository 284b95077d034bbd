// Package payment is the service that takes money from cards and gives it back.
//
//	charge-card ─▶ balance − cents, a line in the ledger, a receipt
//	refund-card ─▶ balance + cents, a line in the ledger
//
// It does not know what the money is for. That a charge which comes twice takes
// the money once is the inbox's affair (I5), not that of the handlers.
//
// Failure looks like a rejection: card declined, and why.
package payment
