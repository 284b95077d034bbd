//go:build lab

package console_test

import (
	"fmt"
	"testing"
)

// TestManySagasAreDecidedAtOnce counts the parked sagas first, then retries all of them.
func TestManySagasAreDecidedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.when(vanBreaks)
	const parked = 12
	for i := range parked {
		w.start(t, fmt.Sprintf("order-%02d", i))
	}
	for i := range parked {
		if phase := w.rests(t, fmt.Sprintf("order-%02d", i)); phase != "parked" {
			t.Fatalf("order-%02d is %s", i, phase)
		}
	}
	w.when(nothingFails)
	w.operate(t, "order-00", "abandon")
	b := w.open(t, 1280, 900)
	b.goTo("/sagas?phase=parked")
	b.sees("All 12 that match")
	b.picture("console-list")
	b.run(choose(`select[aria-label="Operation on these sagas"]`, "retry"))
	b.until(`document.querySelector("[data-dry=true]").innerText === "12 match. For 11 Retry now is legal now, for 1 it would be refused."`)
	b.write(`dialog [name="reason"]`, "the van is back")
	b.write(`dialog [name="by"]`, "kim")
	b.axe("a decision about many")
	b.picture("console-bulk")
	b.click(`dialog [data-confirm]`)
	b.until(`document.querySelector("[data-finished]").innerText === "Done for 11, refused for 1."`)
	b.run(clickText("Close"))
	b.until(`document.querySelectorAll(".row[data-id]").length === 1`) // the abandoned one
	for i := 1; i < parked; i++ {
		if phase := w.rests(t, fmt.Sprintf("order-%02d", i)); phase != "completed" {
			t.Errorf("order-%02d is %s", i, phase)
		}
	}
}

// TestRowsAreSelected checks that an operation applies only to the rows selected with the keyboard.
// A paused saga is shown as paused, and continues after a resume.
func TestRowsAreSelected(t *testing.T) {
	w := newWorld(t)
	let := w.holds(t, "charge")
	for i := range 3 {
		w.start(t, fmt.Sprintf("order-%d", i))
	}
	b := w.open(t, 1280, 900)
	b.goTo("/sagas")
	b.until(`document.querySelectorAll(".row[data-id]").length === 3`)
	b.press("jjx")
	b.sees("1 selected")
	b.run(choose(`select[aria-label="Operation on these sagas"]`, "pause"))
	b.sees("1 matches. For 1 Pause is legal now.")
	b.write(`dialog [name="reason"]`, "the bank asked us to wait")
	b.write(`dialog [name="by"]`, "kim")
	b.click(`dialog [data-confirm]`)
	b.sees("Done for 1.")
	b.run(clickText("Close"))
	b.goTo("/sagas/order-1")
	b.sees("Paused by kim")
	close(let)
	b.click(`[data-operation="resume"]`)
	b.write(`dialog [name="reason"]`, "the bank is ready")
	b.click(`dialog [data-confirm]`)
	b.until(`!document.querySelector("[data-paused]")`)
	b.until(`document.querySelector('[data-step="confirm"]').dataset.status === "done"`)
}
