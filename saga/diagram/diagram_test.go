package diagram_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/diagram"
)

var update = flag.Bool("update", false, "rewrite testdata")

func checkout(t *testing.T) *saga.Definition {
	t.Helper()
	act := func(participant, action string) saga.Action {
		return saga.Action{Participant: participant, Action: action}
	}
	step := func(name contract.StepName, kind contract.Kind, do saga.Action, undo *saga.Action) saga.Node {
		return saga.Node{Step: &saga.Step{Name: name, Kind: kind, Do: do, Undo: undo}}
	}
	undo := func(participant, action string) *saga.Action {
		a := act(participant, action)
		return &a
	}
	d, err := saga.New(saga.Spec{Name: "checkout", Version: 3, Steps: []saga.Node{
		step("open-order", contract.KindCompensable, act("order", "open-order"), undo("order", "cancel-order")),
		{Parallel: []saga.Node{
			step("reserve-stock", contract.KindCompensable, act("inventory", "reserve-stock"), undo("inventory", "release-stock")),
			{Sequence: []saga.Node{
				step("check-risk", contract.KindCompensable, act("risk", "check-with-a-very-long-name-that-does-not-fit"), undo("risk", "forget")),
				step("charge-card", contract.KindCompensable, act("payment", "charge-card"), undo("payment", "refund-card")),
			}},
		}},
		{Parallel: []saga.Node{
			step("weigh", contract.KindCompensable, act("shipping", "weigh"), undo("shipping", "unweigh")),
			step("label", contract.KindCompensable, act("shipping", "label"), undo("shipping", "unlabel")),
		}},
		step("book-shipment", contract.KindPivot, act("shipping", "book-shipment"), nil),
		step("confirm-order", contract.KindRetriable, act("order", "confirm-order"), nil),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestGolden compares both drawings with reviewed ones.
func TestGolden(t *testing.T) {
	d := checkout(t)
	for name, got := range map[string]string{"checkout.mmd": diagram.Mermaid(d), "checkout.svg": string(diagram.SVG(d))} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is another drawing now; look at it, and keep it with: go test ./saga/diagram -update\n%s", path, got)
		}
	}
}

// TestEveryStepIsDrawnOnce checks that both drawings contain every step once, and that the SVG is
// well-formed.
func TestEveryStepIsDrawnOnce(t *testing.T) {
	d := checkout(t)
	mermaid, svg := diagram.Mermaid(d), string(diagram.SVG(d))
	for i := range d.Len() {
		name := d.Step(i).Name
		if n := strings.Count(mermaid, fmt.Sprintf("<b>%s</b>", name)); n != 1 {
			t.Errorf("Mermaid shows %s %d times", name, n)
		}
		if n := strings.Count(svg, fmt.Sprintf("<title>%s</title>", name)); n != 1 {
			t.Errorf("SVG shows %s %d times", name, n)
		}
	}
	for dec := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture is not XML: %v", err)
		}
	}
}
