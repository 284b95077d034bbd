package script

import (
	"math/rand/v2"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/examples/order-checkout/fault"
)

// Kind is a scenario that an order demonstrates.
type Kind struct {
	Scenario string
	Shows    string
	Outcome  contract.Phase // how the saga ends, unless something else fails
	weight   int            // weight in the random choice
	bend     func(*checkout.Order)
}

// Kinds lists all kinds of orders.
var Kinds = []Kind{
	{"all well", "paid, shipped, confirmed", contract.PhaseCompleted, 60, func(*checkout.Order) {}},
	{"out of stock", "inventory says no", contract.PhaseCompensated, 10, func(o *checkout.Order) {
		o.Lines = append(o.Lines, checkout.Line{SKU: "globe", Quantity: 4, UnitCents: 4900})
	}},
	{"card declined", "payment says no, the stock is given back", contract.PhaseCompensated, 10, func(o *checkout.Order) {
		o.Card = "visa-empty"
	}},
	{"no carrier", "shipping says no, money and stock are given back", contract.PhaseCompensated, 10, func(o *checkout.Order) {
		o.Country = "Atlantis"
	}},
	{"delivered twice", "a command is on the bus twice", contract.PhaseCompleted, 5, func(o *checkout.Order) {
		o.Card = fault.Twice
	}},
	{"slow answer", "an answer comes too late, the next attempt has the same key", contract.PhaseCompleted, 3, func(o *checkout.Order) {
		o.Card = fault.Slow
	}},
	{"crash", "a service dies between its commit and its answer", contract.PhaseCompleted, 1, func(o *checkout.Order) {
		o.Card = fault.Crash
	}},
	{"undo first", "a command arrives after its undo", contract.PhaseCompensated, 1, func(o *checkout.Order) {
		o.Card = fault.Late
	}},
}

// KindOf returns the kind of a scenario.
func KindOf(scenario string) (Kind, bool) {
	for _, k := range Kinds {
		if k.Scenario == scenario {
			return k, true
		}
	}
	return Kind{}, false
}

var (
	customers = []struct{ name, card string }{{"Ada", "visa-ada"}, {"Grace", "visa-grace"}, {"Edsger", "visa-edsger"}}
	countries = []string{"Denmark", "Germany", "Netherlands", "Portugal"}
	products  = []checkout.Line{{SKU: "chair", UnitCents: 8900}, {SKU: "desk", UnitCents: 24900}, {SKU: "lamp", UnitCents: 3900}, {SKU: "shelf", UnitCents: 11900}}
)

// order returns an order of the kind.
func (k Kind) order(id string, rng *rand.Rand) checkout.Order {
	customer := customers[rng.IntN(len(customers))]
	o := checkout.Order{
		OrderID: id, Scenario: k.Scenario,
		Customer: customer.name, Card: customer.card,
		Country: countries[rng.IntN(len(countries))],
	}
	for _, p := range rng.Perm(len(products))[:1+rng.IntN(2)] {
		line := products[p]
		line.Quantity = 1 + rng.Int64N(3)
		o.Lines = append(o.Lines, line)
	}
	k.bend(&o)
	o.TotalCents = o.Sum()
	return o
}
