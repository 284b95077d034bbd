// Package inventory is the service for the stock: it reserves the goods of an order, all lines
// or none, and releases them.
//
//	reserve-stock ─▶ on hand − quantity, a line in the ledger
//	release-stock ─▶ on hand + quantity, a line in the ledger
//
// A rejection in the middle of an order needs no cleanup: the handler's writes are rolled back
// with its transaction, and the inbox records the rejection (I5).
//
// A rejection says what is out of stock.
package inventory
