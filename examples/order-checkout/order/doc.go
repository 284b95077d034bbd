// Package order is the service that keeps the orders: it opens, confirms and
// cancels them.
//
//	open-order ─▶ orders(open) ─┬─ confirm-order ─▶ confirmed
//	                            └─ cancel-order ──▶ cancelled
//
// It does not know who else takes part in an order. Every handler writes in the
// transaction that it is given; the inbox does the rest (I5).
//
// Failure looks like a rejection for an order that makes no sense.
package order
