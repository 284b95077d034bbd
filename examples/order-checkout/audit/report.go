package audit

import (
	"maps"
	"slices"
)

// Report is the result of an audit.
type Report struct {
	Orders     []Order
	Stock      []Stock
	Money      []Money
	Laws       []Law
	Tombstones int
}

// Order holds what happened to one order, according to all databases.
type Order struct {
	ID, Scenario    string
	Status          string // open, confirmed or cancelled; "" if the order service does not know it
	TotalCents      int64
	Out, Back       int64 // pieces taken from the shelf, and put back
	Taken, Returned int64 // cents
	Parcels         []string
	Keys, Most      int // number of idempotency keys that took effect, and highest number of effects of a key

	receipt, tracking string
	ordered           map[string]int64 // pieces by product
	shipped           map[string]int64
	moved             map[string]int64 // out minus back, by product
	receipts          []string
	at                map[string]string // when the order was undone, by service
	effects           map[string]int    // number of effects, by idempotency key
}

// Stock describes where the pieces of a product went.
type Stock struct {
	SKU                            string
	Initial, OnHand, Shipped, Held int64 // Held pieces are reserved for open orders
}

// Money describes where the money of a card went, in cents.
type Money struct {
	Card                              string
	Initial, Balance, Taken, Returned int64
}

// Law is a condition that must hold, with its violations.
type Law struct {
	Name       string
	Checked    int
	Violations []string
}

// OK reports whether all laws hold.
func (r *Report) OK() bool { return r.Violations() == 0 }

// Violations returns the number of violations.
func (r *Report) Violations() int {
	n := 0
	for _, law := range r.Laws {
		n += len(law.Violations)
	}
	return n
}

// Count returns the number of orders with a status.
func (r *Report) Count(status string) int {
	n := 0
	for i := range r.Orders {
		if r.Orders[i].Status == status {
			n++
		}
	}
	return n
}

// Check compares the databases with each other.
func Check(b Books) *Report {
	r := &Report{Tombstones: b.Tombstones}
	byID := collect(b)
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		r.Orders = append(r.Orders, *byID[id])
	}
	r.Stock = stock(b, byID)
	r.Money = money(b)
	r.Laws = []Law{r.ended(), r.confirmed(), r.cancelled(), r.moneyKept(), r.stockKept(), r.reversed(), r.once()}
	return r
}
