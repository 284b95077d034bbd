package audit

import (
	"strings"
	"testing"

	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/examples/order-checkout/inventory"
	"github.com/amends-dev/amends/examples/order-checkout/order"
	"github.com/amends-dev/amends/examples/order-checkout/payment"
	"github.com/amends-dev/amends/examples/order-checkout/shipping"
)

// books returns balanced books of two orders: one completed, one compensated.
func books() Books {
	return Books{
		Placed: []checkout.Order{{OrderID: "a", Scenario: "all well"}, {OrderID: "b", Scenario: "no carrier"}},
		Order: order.Books{
			Orders: []order.Row{
				{OrderID: "a", Scenario: "all well", Status: "confirmed", Receipt: "R-00001", Tracking: "DHL-00001", TotalCents: 700},
				{OrderID: "b", Scenario: "no carrier", Status: "cancelled", TotalCents: 300},
			},
			Lines: []order.Line{{OrderID: "a", SKU: "lamp", Quantity: 7}, {OrderID: "b", SKU: "lamp", Quantity: 3}},
			Ledger: []order.Entry{
				{Key: "a/open-order/do", OrderID: "a", Status: "open", At: "01"},
				{Key: "b/open-order/do", OrderID: "b", Status: "open", At: "02"},
				{Key: "a/confirm-order/do", OrderID: "a", Status: "confirmed", At: "08"},
				{Key: "b/open-order/undo", OrderID: "b", Status: "cancelled", At: "11"},
			},
		},
		Inventory: inventory.Books{
			Stock: []inventory.Stock{{SKU: "lamp", Initial: 100, OnHand: 93}},
			Ledger: []inventory.Entry{
				{Key: "a/reserve-stock/do", OrderID: "a", SKU: "lamp", Quantity: -7, At: "03"},
				{Key: "b/reserve-stock/do", OrderID: "b", SKU: "lamp", Quantity: -3, At: "04"},
				{Key: "b/reserve-stock/undo", OrderID: "b", SKU: "lamp", Quantity: 3, At: "10"},
			},
		},
		Payment: payment.Books{
			Accounts: []payment.Account{{Card: "visa", Initial: 5000, Balance: 4300}},
			Ledger: []payment.Entry{
				{ID: 1, Key: "a/charge-card/do", OrderID: "a", Card: "visa", Cents: 700, At: "05"},
				{ID: 2, Key: "b/charge-card/do", OrderID: "b", Card: "visa", Cents: 300, At: "06"},
				{ID: 3, Key: "b/charge-card/undo", OrderID: "b", Card: "visa", Cents: -300, At: "09"},
			},
		},
		Shipping: shipping.Books{
			Parcels:  []shipping.Parcel{{ID: 1, Key: "a/book-shipment/do", OrderID: "a", Carrier: "DHL", At: "07"}},
			Contents: []shipping.Content{{Parcel: 1, SKU: "lamp", Quantity: 7}},
		},
	}
}

func TestBalanced(t *testing.T) {
	r := Check(books())
	if !r.OK() || r.Count("confirmed") != 1 || r.Count("cancelled") != 1 {
		var text strings.Builder
		r.Print(&text, func(s string, _ bool) string { return s })
		t.Errorf("balanced books do not balance:\n%s", &text)
	}
	for _, law := range r.Laws {
		if law.Checked == 0 {
			t.Errorf("law %q has checked nothing", law.Name)
		}
	}
}

// TestLawsBite corrupts the books at one position at a time, and expects the right law to fail.
func TestLawsBite(t *testing.T) {
	for want, spoil := range map[string]func(*Books){
		"c was accepted, but the order service does not know it": func(b *Books) { b.Placed = append(b.Placed, checkout.Order{OrderID: "c"}) },
		"b is still open":                       func(b *Books) { b.Order.Orders[1].Status = "open" },
		"a costs 7.00, but 6.00 was paid":       func(b *Books) { b.Payment.Ledger[0].Cents = 600 },
		"a: ordered map[lamp:7]":                func(b *Books) { b.Inventory.Ledger[0].Quantity = -6 },
		"shipped map[lamp:8]":                   func(b *Books) { b.Shipping.Contents[0].Quantity = 8 },
		`the carrier has ["DHL-00009"]`:         func(b *Books) { b.Shipping.Parcels[0].ID, b.Shipping.Contents[0].Parcel = 9, 9 },
		`the money was taken with ["R-00008"]`:  func(b *Books) { b.Payment.Ledger[0].ID = 8 },
		"b: 3.00 was taken, 0.00 was given":     func(b *Books) { b.Payment.Ledger = b.Payment.Ledger[:2] },
		"b: 3 lamp are missing on the shelf":    func(b *Books) { b.Inventory.Ledger = b.Inventory.Ledger[:2] },
		`b: the carrier has ["DHL-00001"]`:      func(b *Books) { b.Shipping.Parcels[0].OrderID = "b" },
		"visa: 50.00 on the first day, now 42":  func(b *Books) { b.Payment.Accounts[0].Balance = 4200 },
		"lamp: 100 on the first day, 94 on":     func(b *Books) { b.Inventory.Stock[0].OnHand = 94 },
		"b: the inventory service took back at": func(b *Books) { b.Inventory.Ledger[2].At = "08" },
		"b: the order service took back at 08,": func(b *Books) { b.Order.Ledger[3].At = "08" },
		"a/charge-card/do took effect 2 times":  func(b *Books) { b.Payment.Ledger = append(b.Payment.Ledger, b.Payment.Ledger[0]) },
		"a/reserve-stock/do took effect 2 time": func(b *Books) { b.Inventory.Ledger = append(b.Inventory.Ledger, b.Inventory.Ledger[0]) },
		"a/book-shipment/do took effect 2 time": func(b *Books) { b.Shipping.Parcels = append(b.Shipping.Parcels, b.Shipping.Parcels[0]) },
		"a/confirm-order/do took effect 2 time": func(b *Books) { b.Order.Ledger = append(b.Order.Ledger, b.Order.Ledger[2]) },
	} {
		b := books()
		spoil(&b)
		r := Check(b)
		var text strings.Builder
		r.Print(&text, func(s string, _ bool) string { return s })
		if r.OK() || !strings.Contains(text.String(), want) || !strings.Contains(text.String(), "THE BOOKS DO NOT BALANCE") {
			t.Errorf("want %q, got:\n%s", want, &text)
		}
	}
}

// TestOpenOrder checks that the goods and money of an open order are accounted for. The only
// violation is that the order is open.
func TestOpenOrder(t *testing.T) {
	b := books()
	b.Order.Orders[1].Status = "open"
	b.Inventory.Ledger = b.Inventory.Ledger[:2]
	b.Inventory.Stock[0].OnHand = 90
	if r := Check(b); r.Violations() != 1 || r.Stock[0].Held != 3 {
		t.Errorf("%d violations, %d held: %+v", r.Violations(), r.Stock[0].Held, r.Laws)
	}
}

func TestSum(t *testing.T) {
	for cents, want := range map[int64]string{0: "0.00", 5: "0.05", -5: "-0.05", 99_999: "999.99", 100_000: "1,000.00", 123_456_789: "1,234,567.89"} {
		if got := sum(cents); got != want {
			t.Errorf("%d cents are %q, want %q", cents, got, want)
		}
	}
}
