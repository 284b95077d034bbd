// Package order is the service that opens, confirms and cancels orders.
//
//	open-order ─▶ orders(open) ─┬─ confirm-order ─▶ confirmed
//	                            └─ cancel-order ──▶ cancelled
//
// It does not know the other services. Every handler writes in the transaction that it receives,
// and the inbox makes the handler idempotent (I5).
//
// An invalid order is rejected.
package order
