package definitionfile_test

import (
	"fmt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/definitionfile"
)

type Reserve struct {
	OrderID string `json:"order_id"`
	SKU     string `json:"sku"`
	Note    string `json:"note,omitempty"`
}

type Reserved struct {
	ReservationID string `json:"reservation_id"`
}

var (
	ReserveStock = contract.NewCommand[Reserve, Reserved]("inventory", "reserve-stock")
	ReleaseStock = contract.UndoOf(ReserveStock, "release-stock")
)

// A definition in Go is written as a file for a coordinator that does not have the Go types.
func ExampleYAML() {
	d := saga.MustDefine[Reserve]("reservation",
		saga.Compensable("reserve-stock",
			saga.Do(ReserveStock, saga.With("{\n  \"order_id\": input.order_id,\n  \"sku\": input.sku\n}")),
			saga.Undo(ReleaseStock)))
	text, err := definitionfile.YAML(d)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(text))
	// Output:
	// name: reservation
	// version: 1
	// input:
	//   note?: string
	//   order_id: string
	//   sku: string
	// steps:
	//   - step:
	//       name: reserve-stock
	//       kind: compensable
	//       do:
	//         participant: inventory
	//         action: reserve-stock
	//         with: |-
	//           {
	//             "order_id": input.order_id,
	//             "sku": input.sku
	//           }
	//         request:
	//           note?: string
	//           order_id: string
	//           sku: string
	//         result:
	//           reservation_id: string
	//       undo:
	//         participant: inventory
	//         action: release-stock
}

// This definition is written by hand.
func ExampleParseYAML() {
	d, err := definitionfile.ParseYAML([]byte(`
name: refund
version: 2
input:
  order_id: string
  amount: int
steps:
  - step:
      name: pay-back
      kind: retriable
      do:
        participant: payment
        action: pay-back
        with: |
          {"order_id": input.order_id, "cents": input.amount * 100}
        request:
          order_id: string
          cents: int
        retry: {attempts: 50, maxInterval: 10m}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Ref(), d.Len(), d.Step(0).Do.Action)
	// Output: refund/2 1 pay-back
}
