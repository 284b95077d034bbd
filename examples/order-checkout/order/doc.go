// Package order is the service for the orders: it opens, confirms and cancels them.
//
//	open-order ─▶ orders(open) ─┬─ confirm-order ─▶ confirmed
//	                            └─ cancel-order ──▶ cancelled
//
// It does not know the other services. Every handler writes in the transaction that it gets;
// the inbox makes it idempotent (I5).
//
// An invalid order is rejected.
package order
