package checkout

import (
	"errors"
	"fmt"

	"github.com/amends-dev/amends/contract"
)

// Order is the input of the saga.
type Order struct {
	OrderID    string `json:"order_id"`           // also the saga's id, so that an order is placed only once
	Scenario   string `json:"scenario,omitempty"` // what the order demonstrates; only the audit reads it
	Customer   string `json:"customer"`
	Country    string `json:"country"`
	Card       string `json:"card"`
	Lines      []Line `json:"lines"`
	TotalCents int64  `json:"total_cents"` // the sum of the lines
}

// Line is one product of an order.
type Line struct {
	SKU       string `json:"sku"`
	Quantity  int64  `json:"quantity"`
	UnitCents int64  `json:"unit_cents"` // per piece
}

// Sum returns the total price of the lines, in cents.
func (o *Order) Sum() int64 {
	var sum int64
	for _, line := range o.Lines {
		sum += line.Quantity * line.UnitCents
	}
	return sum
}

// Limits of an order, so that sums cannot overflow.
const (
	MaxLines     = 100
	MaxQuantity  = 10_000
	MaxUnitCents = 100_000_000
)

// Check returns all errors in the order, joined, or nil if the order is valid.
func (o *Order) Check() error {
	var wrong []error
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if err := contract.SagaID(o.OrderID).Check(); err != nil {
		say("order_id: %w", err)
	}
	for _, text := range []struct{ field, value string }{{"customer", o.Customer}, {"country", o.Country}, {"card", o.Card}} {
		if text.value == "" {
			say("%s: is missing", text.field)
		}
	}
	if len(o.Lines) == 0 || len(o.Lines) > MaxLines {
		say("lines: there are %d; an order has 1 to %d", len(o.Lines), MaxLines)
	}
	seen := map[string]bool{}
	for i, line := range o.Lines {
		switch {
		case line.SKU == "":
			say("lines[%d].sku: is missing", i)
		case seen[line.SKU]:
			say("lines[%d].sku: %s is given twice; add the quantities up", i, line.SKU)
		}
		seen[line.SKU] = true
		if line.Quantity < 1 || line.Quantity > MaxQuantity {
			say("lines[%d].quantity: is %d; 1 to %d are possible", i, line.Quantity, MaxQuantity)
		}
		if line.UnitCents < 0 || line.UnitCents > MaxUnitCents {
			say("lines[%d].unit_cents: is %d; 0 to %d are possible", i, line.UnitCents, MaxUnitCents)
		}
	}
	if len(wrong) == 0 && o.TotalCents != o.Sum() {
		say("total_cents: is %d, but the lines add up to %d", o.TotalCents, o.Sum())
	}
	return errors.Join(wrong...)
}
