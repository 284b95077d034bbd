package audit

import (
	"maps"
	"slices"
)

// Report is what came out.
type Report struct {
	Orders     []Order
	Stock      []Stock
	Money      []Money
	Laws       []Law
	Tombstones int
}

// Order is what happened to one order, according to everybody's books.
type Order struct {
	ID, Scenario    string
	Status          string // open, confirmed, cancelled; "": the order service does not know it
	TotalCents      int64
	Out, Back       int64 // pieces taken from the shelf, and put back
	Taken, Returned int64 // cents
	Parcels         []string
	Keys, Most      int // idempotency keys that took effect, and how often the busiest of them did

	receipt, tracking string
	ordered           map[string]int64 // pieces by product
	shipped           map[string]int64
	moved             map[string]int64 // out minus back
	receipts          []string
	at                map[string]string // when it was undone, by service
	effects           map[string]int    // by idempotency key
}

// Stock is where a product went.
type Stock struct {
	SKU                            string
	Initial, OnHand, Shipped, Held int64 // Held: set aside for open orders
}

// Money is where the money on a card went, in cents.
type Money struct {
	Card                              string
	Initial, Balance, Taken, Returned int64
}

// Law is one thing that has to hold, and where it does not.
type Law struct {
	Name       string
	Checked    int
	Violations []string
}

// OK reports whether all laws hold.
func (r *Report) OK() bool { return r.Violations() == 0 }

// Violations is how many there are.
func (r *Report) Violations() int {
	n := 0
	for _, law := range r.Laws {
		n += len(law.Violations)
	}
	return n
}

// Count is the number of orders with a status.
func (r *Report) Count(status string) int {
	n := 0
	for i := range r.Orders {
		if r.Orders[i].Status == status {
			n++
		}
	}
	return n
}

// Check holds the books against each other.
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
