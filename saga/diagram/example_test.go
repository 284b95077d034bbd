package diagram_test

import (
	"fmt"
	"strings"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/diagram"
)

// A definition is drawn as a flowchart for documents that render Mermaid.
func ExampleMermaid() {
	charge := contract.NewCommand[int, struct{}]("payment", "charge")
	refund := contract.UndoOf(charge, "refund")
	ship := contract.NewCommand[int, struct{}]("shipping", "ship")
	order := saga.MustDefine[int]("order",
		saga.Compensable("charge", saga.Do(charge), saga.Undo(refund)),
		saga.Pivot("ship", saga.Do(ship)))

	chart, _, _ := strings.Cut(diagram.Mermaid(order), "    classDef") // the colours follow
	fmt.Print(chart)
	// Output:
	// flowchart TD
	//     start([order/1])
	//     s0["<b>charge</b><br/>payment: charge<br/>undo: refund"]:::compensable
	//     start --> s0
	//     s1["<b>ship</b> (pivot)<br/>shipping: ship"]:::pivot
	//     s0 --> s1
	//     done([completed])
	//     s1 --> done
}
