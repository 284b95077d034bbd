//go:build lab

package console_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// TestRowsHoldStillUnderAnyPointer checks that rows do not move while a finger or pen is on the
// list, as with a mouse, so that a click hits its target. Afterwards they update again.
func TestRowsHoldStillUnderAnyPointer(t *testing.T) {
	w := newWorld(t)
	next := 0
	more := func(n int) {
		for range n {
			w.start(t, fmt.Sprintf("order-%03d", next))
			next++
		}
	}
	more(20)
	b := w.open(t, 1280, 900)
	b.goTo("/sagas")
	newest := func() {
		b.until(fmt.Sprintf(`document.querySelector('[data-index="0"]').dataset.id === "order-%03d"`, next-1))
	}
	newest()
	b.until(`document.querySelector("[data-live=true]")`)
	pen := func(kind input.MouseType, x, y float64) {
		b.run(input.DispatchMouseEvent(kind, x, y).WithPointerType(input.Pen).WithButton(input.Left).WithClickCount(1))
	}
	opens := func() { b.until(`location.pathname === "/sagas/" + window.under`) }
	for _, by := range []struct {
		name     string
		down, up func()
	}{
		{"finger", func() { b.run(input.DispatchTouchEvent(input.TouchStart, []*input.TouchPoint{{X: 600, Y: 500}})) }, func() {
			b.run(input.DispatchTouchEvent(input.TouchEnd, []*input.TouchPoint{}))
			opens()
		}},
		{"pen", func() { pen(input.MousePressed, 600, 500) }, func() { pen(input.MouseReleased, 600, 500); opens() }},
		{"pen that went elsewhere", func() { pen(input.MousePressed, 600, 500); pen(input.MouseMoved, 5, 5) }, func() {
			pen(input.MouseReleased, 5, 5)
			newest()
			b.until(`!document.querySelector("[data-news]")`)
		}},
	} {
		b.goTo("/sagas")
		newest()
		b.until(`document.querySelector("[data-live=true]")`)
		var under, now string
		b.eval(`document.elementFromPoint(600, 500).closest(".row").dataset.id`, &under)
		b.run(chromedp.Evaluate(fmt.Sprintf("window.under = %q", under), nil))
		by.down()
		more(3)
		b.until(`document.querySelector("[data-news]")?.innerText === "3 new"`)
		b.eval(`document.elementFromPoint(600, 500).closest(".row").dataset.id`, &now)
		if now != under {
			t.Errorf("under a %s: row %s, want %s", by.name, now, under)
		}
		by.up()
	}
}
