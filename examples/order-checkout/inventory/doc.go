// Package inventory is the service that keeps the stock: it sets goods aside for
// an order, all of its lines or none, and puts them back.
//
//	reserve-stock ─▶ on hand − quantity, a line in the ledger
//	release-stock ─▶ on hand + quantity, a line in the ledger
//
// A rejection in the middle of an order needs no cleaning up: what the handler
// wrote is undone with its transaction, and the inbox keeps the no (I5).
//
// Failure looks like a rejection that says what is out of stock.
package inventory
