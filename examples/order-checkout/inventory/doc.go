// Package inventory is the service for the stock. It reserves the goods of an order, all lines or
// none, and releases them.
//
//	reserve-stock ─▶ on hand − quantity, a line in the ledger
//	release-stock ─▶ on hand + quantity, a line in the ledger
//
// A rejection in the middle of an order needs no cleanup: the handler's writes are rolled back
// with its transaction, and the inbox records the rejection (I5).
//
// A rejection names the product that is out of stock.
package inventory
