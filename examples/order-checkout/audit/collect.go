package audit

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
)

// collect groups the data of all databases by order.
func collect(b Books) map[string]*Order {
	orders := map[string]*Order{}
	get := func(id string) *Order {
		o := orders[id]
		if o == nil {
			o = &Order{
				ID: id, ordered: map[string]int64{}, shipped: map[string]int64{}, moved: map[string]int64{},
				at: map[string]string{}, effects: map[string]int{},
			}
			orders[id] = o
		}
		return o
	}
	for _, p := range b.Placed {
		get(p.OrderID).Scenario = p.Scenario
	}
	for _, row := range b.Order.Orders {
		o := get(row.OrderID)
		o.Scenario, o.Status, o.TotalCents, o.receipt, o.tracking = row.Scenario, row.Status, row.TotalCents, row.Receipt, row.Tracking
	}
	for _, line := range b.Order.Lines {
		get(line.OrderID).ordered[line.SKU] += line.Quantity
	}
	for _, e := range b.Order.Ledger {
		o := get(e.OrderID)
		o.effects[e.Key]++
		if e.Status == "cancelled" {
			o.at["order"] = e.At
		}
	}
	collectInventory(b, get)
	collectPayment(b, get)
	collectShipping(b, get)
	for _, o := range orders {
		o.Keys = len(o.effects)
		for _, n := range o.effects {
			o.Most = max(o.Most, n)
		}
	}
	return orders
}

func collectInventory(b Books, get func(string) *Order) {
	perSKU := map[[2]string]int{} // effects by key and product: a key moves each product of an order once
	for _, e := range b.Inventory.Ledger {
		o := get(e.OrderID)
		o.moved[e.SKU] -= e.Quantity
		if e.Quantity < 0 {
			o.Out -= e.Quantity
		} else {
			o.Back += e.Quantity
			o.at["inventory"] = e.At
		}
		perSKU[[2]string{e.Key, e.SKU}]++
		o.effects[e.Key] = max(o.effects[e.Key], perSKU[[2]string{e.Key, e.SKU}])
	}
}

func collectPayment(b Books, get func(string) *Order) {
	for _, e := range b.Payment.Ledger {
		o := get(e.OrderID)
		o.effects[e.Key]++
		if e.Cents >= 0 {
			o.Taken += e.Cents
			o.receipts = append(o.receipts, e.Receipt())
		} else {
			o.Returned -= e.Cents
			o.at["payment"] = e.At
		}
	}
}

func collectShipping(b Books, get func(string) *Order) {
	owner := map[int64]*Order{}
	for _, p := range b.Shipping.Parcels {
		o := get(p.OrderID)
		o.effects[p.Key]++
		o.Parcels = append(o.Parcels, p.Tracking())
		owner[p.ID] = o
	}
	for _, c := range b.Shipping.Contents {
		if o := owner[c.Parcel]; o != nil {
			o.shipped[c.SKU] += c.Quantity
		}
	}
}

func stock(b Books, orders map[string]*Order) []Stock {
	var all []Stock
	for _, s := range b.Inventory.Stock {
		row := Stock{SKU: s.SKU, Initial: s.Initial, OnHand: s.OnHand}
		for _, c := range b.Shipping.Contents {
			if c.SKU == s.SKU {
				row.Shipped += c.Quantity
			}
		}
		for _, o := range orders {
			if o.Status == "open" && len(o.Parcels) == 0 {
				row.Held += o.moved[s.SKU]
			}
		}
		all = append(all, row)
	}
	return all
}

func money(b Books) []Money {
	var all []Money
	for _, a := range b.Payment.Accounts {
		row := Money{Card: a.Card, Initial: a.Initial, Balance: a.Balance}
		for _, e := range b.Payment.Ledger {
			switch {
			case e.Card != a.Card:
			case e.Cents >= 0:
				row.Taken += e.Cents
			default:
				row.Returned -= e.Cents
			}
		}
		all = append(all, row)
	}
	return all
}

// sum formats an amount of money.
func sum(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	whole := fmt.Sprint(cents / 100)
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return fmt.Sprintf("%s%s.%02d", sign, whole, cents%100)
}

// outcome returns the phase of the saga that corresponds to an order's status.
func outcome(status string) contract.Phase {
	switch status {
	case "confirmed":
		return contract.PhaseCompleted
	case "cancelled":
		return contract.PhaseCompensated
	case "open":
		return contract.PhaseRunning
	default:
		return "unknown"
	}
}
