//go:build lab

package console_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// TestDialogStaysUnderASelection checks that a drag across the edge of a dialog, such as a text
// selection, does not close it in either direction. A click outside closes it.
func TestDialogStaysUnderASelection(t *testing.T) {
	w := newWorld(t)
	w.when(vanBreaks)
	w.start(t, "order-1")
	w.rests(t, "order-1")
	b := w.open(t, 1280, 900)
	b.goTo("/sagas/order-1")
	b.click(`[data-operation="abandon"]`)
	b.write(`dialog [name="reason"]`, "it is settled")
	var x, y float64
	b.eval(`document.querySelector('dialog [name="reason"]').getBoundingClientRect().x + 20`, &x)
	b.eval(`document.querySelector('dialog [name="reason"]').getBoundingClientRect().y + 10`, &y)
	b.run(chromedp.Evaluate(`window.clicks = 0; addEventListener("click", () => window.clicks++, true); 1`, nil))
	clicks := 0
	drag := func(fromX, fromY, toX, toY float64) {
		b.run(input.DispatchMouseEvent(input.MousePressed, fromX, fromY).WithButton(input.Left).WithClickCount(1),
			input.DispatchMouseEvent(input.MouseMoved, toX, toY).WithButton(input.Left),
			input.DispatchMouseEvent(input.MouseReleased, toX, toY).WithButton(input.Left).WithClickCount(1))
		clicks++
		b.until(fmt.Sprintf("window.clicks === %d", clicks))
	}
	drag(x, y, 10, y)
	b.until(`document.querySelector('dialog[open] [name="reason"]').value === "it is settled"`)
	drag(10, y, x, y)
	b.until(`document.querySelector('dialog[open] [name="reason"]').value === "it is settled"`)
	drag(10, y, 12, y)
	b.until(`!document.querySelector("dialog")`)
}
