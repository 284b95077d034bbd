package checkout

import (
	"strings"
	"testing"
)

func good() Order {
	return Order{
		OrderID: "order-1", Customer: "Ada", Country: "Denmark", Card: "visa-ada",
		Lines:      []Line{{SKU: "lamp", Quantity: 2, UnitCents: 3900}, {SKU: "desk", Quantity: 1, UnitCents: 100}},
		TotalCents: 7900,
	}
}

func TestCheck(t *testing.T) {
	o := good()
	if err := o.Check(); err != nil {
		t.Errorf("a good order: %v", err)
	}
	for want, spoil := range map[string]func(*Order){
		"order_id: saga id \"a b\"":                       func(o *Order) { o.OrderID = "a b" },
		"customer: is missing":                            func(o *Order) { o.Customer = "" },
		"card: is missing":                                func(o *Order) { o.Card = "" },
		"country: is missing":                             func(o *Order) { o.Country = "" },
		"lines: there are 0":                              func(o *Order) { o.Lines = nil },
		"lines: there are 101":                            func(o *Order) { o.Lines = make([]Line, MaxLines+1) },
		"lines[1].sku: is missing":                        func(o *Order) { o.Lines[1].SKU = "" },
		"lines[1].sku: lamp is given twice":               func(o *Order) { o.Lines[1].SKU = "lamp" },
		"lines[0].quantity: is 0":                         func(o *Order) { o.Lines[0].Quantity = 0 },
		"lines[0].quantity: is 10001":                     func(o *Order) { o.Lines[0].Quantity = MaxQuantity + 1 },
		"lines[0].unit_cents: is -1":                      func(o *Order) { o.Lines[0].UnitCents = -1 },
		"total_cents: is 1, but the lines add up to 7900": func(o *Order) { o.TotalCents = 1 },
	} {
		o := good()
		spoil(&o)
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
