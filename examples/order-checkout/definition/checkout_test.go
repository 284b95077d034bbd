package definition

import (
	"flag"
	"os"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/examples/order-checkout/checkout"
	"github.com/amends-dev/amends/saga/definitionfile"
	"github.com/amends-dev/amends/saga/sagatest"
)

var update = flag.Bool("update", false, "rewrite checkout.yaml")

// TestFile checks that checkout.yaml, for users of other languages, is the same definition as
// Checkout.
func TestFile(t *testing.T) {
	const file = "checkout.yaml"
	if *update {
		text, err := definitionfile.YAML(Checkout)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := definitionfile.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d.Fingerprint() != Checkout.Fingerprint() {
		t.Errorf("%s is not what checkout.go says; fix: go test ./examples/order-checkout/definition -update", file)
	}
}

var order = checkout.Order{
	OrderID: "order-1", Customer: "Ada", Country: "Denmark", Card: "visa-ada",
	Lines:      []checkout.Line{{SKU: "lamp", Quantity: 2, UnitCents: 3900}},
	TotalCents: 7800,
}

func TestAllWell(t *testing.T) {
	var charge checkout.Charge
	var shipment checkout.Shipment
	var confirmation checkout.Confirmation
	sagatest.Start(t, Checkout, order).
		Completed("open-order", checkout.Opened{Number: 7}).
		Completed("reserve-stock", checkout.Reserved{Warehouse: "Hamburg"}).
		Request("charge-card", &charge).
		Completed("charge-card", checkout.Receipt{ReceiptID: "R-1"}).
		Request("book-shipment", &shipment).
		Completed("book-shipment", checkout.Booked{Carrier: "PostNord", Tracking: "PN-1"}).
		Request("confirm-order", &confirmation).
		Completed("confirm-order", checkout.Confirmed{Number: 7}).
		ExpectPhase(contract.PhaseCompleted)
	if want := (checkout.Charge{OrderID: "order-1", Card: "visa-ada", Cents: 7800, Text: "Order No. 7"}); charge != want {
		t.Errorf("payment was asked for %+v, want %+v", charge, want)
	}
	if shipment.Warehouse != "Hamburg" || shipment.Country != "Denmark" || len(shipment.Lines) != 1 || shipment.Lines[0] != order.Lines[0] {
		t.Errorf("shipping was asked for %+v", shipment)
	}
	if want := (checkout.Confirmation{OrderID: "order-1", Receipt: "R-1", Tracking: "PN-1"}); confirmation != want {
		t.Errorf("the order was confirmed with %+v, want %+v", confirmation, want)
	}
}

func TestNoCarrier(t *testing.T) {
	var refund contract.Undo[checkout.Charge, checkout.Receipt]
	sagatest.Start(t, Checkout, order).
		Completed("open-order", checkout.Opened{Number: 7}).
		Completed("reserve-stock", checkout.Reserved{Warehouse: "Hamburg"}).
		Completed("charge-card", checkout.Receipt{ReceiptID: "R-1"}).
		ExpectCommands("do open-order", "do reserve-stock", "do charge-card", "do book-shipment").
		Rejected("book-shipment", "no carrier to Atlantis").
		ExpectCommands("undo charge-card").
		Request("charge-card", &refund).
		Completed("charge-card", nil).
		ExpectCommands("undo reserve-stock").
		Completed("reserve-stock", nil).
		ExpectCommands("undo open-order").
		Completed("open-order", nil).
		ExpectPhase(contract.PhaseCompensated)
	if refund.Result == nil || refund.Result.ReceiptID != "R-1" || refund.Request.Cents != 7800 {
		t.Errorf("payment was asked to give back %+v", refund)
	}
}

// TestSilence checks that an unanswered charge-card is undone as well, because the card may have
// been charged.
func TestSilence(t *testing.T) {
	sagatest.Start(t, Checkout, order).
		Completed("open-order", checkout.Opened{Number: 7}).
		Completed("reserve-stock", checkout.Reserved{Warehouse: "Hamburg"}).
		TimedOut("charge-card").Retried("charge-card").
		TimedOut("charge-card").Retried("charge-card").
		TimedOut("charge-card").
		ExpectCommands("do open-order", "do reserve-stock", "do charge-card", "do charge-card", "do charge-card", "undo charge-card")
}
