//go:build lab

package console_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/amends-dev/amends/participant"
)

// TestAnOperatorUnparksASaga acts like an operator after an alert: it opens the link of the saga,
// reads why the saga is parked, chooses a legal operation, and sees the saga end.
func TestAnOperatorUnparksASaga(t *testing.T) {
	w := newWorld(t)
	w.when(vanBreaks)
	w.start(t, "order-42")
	if phase := w.rests(t, "order-42"); phase != "parked" {
		t.Fatalf("the saga is %s, want parked", phase)
	}
	b := w.open(t, 1280, 900)
	b.goTo("/sagas/order-42")
	b.sees("Parked at book-shipment")
	b.sees(errVan.Error())
	b.until(`document.querySelector('[data-step="book-shipment"]').dataset.status === "parked"`)
	b.until(`document.querySelector('[data-step="charge-card"]').dataset.status === "done"`)
	b.axe("a parked saga")
	b.picture("console-parked")

	b.until(`document.querySelector('[data-operation="cancel"]').disabled && !document.querySelector('[data-operation="retry"]').disabled`)
	w.when(nothingFails)
	b.click(`[data-operation="retry"]`)
	b.write(`dialog [name="reason"]`, "the van is back")
	b.write(`dialog [name="by"]`, "kim")
	b.axe("a decision")
	b.click(`dialog [data-confirm]`)
	b.sees("kim decided: retry")
	b.until(`document.querySelector('[data-step="confirm"]').dataset.status === "done"`)
	if phase := w.rests(t, "order-42"); phase != "completed" {
		t.Errorf("the saga is %s, want completed", phase)
	}
	b.sees("the van is back")
}

// TestWhatCancelWouldUndo checks that the dialog lists the steps that cancel would undo, in the
// order in which they are undone.
func TestWhatCancelWouldUndo(t *testing.T) {
	w := newWorld(t)
	hold := w.holds(t, "book")
	w.start(t, "order-7")
	b := w.open(t, 1280, 900)
	b.goTo("/sagas/order-7")
	b.until(`document.querySelector('[data-step="book-shipment"]').dataset.status === "doing"`)
	b.until(`document.querySelector("[data-plan]").innerText.includes("charge-card")`)
	b.sees("Past the point of no return")
	b.picture("console-saga")
	b.click(`[data-operation="cancel"]`)
	b.until(`document.querySelector("dialog [data-plan]").innerText.includes("reserve-stock")`)
	b.write(`dialog [name="reason"]`, "the customer called")
	b.write(`dialog [name="by"]`, "kim")
	b.click(`dialog [data-confirm]`)
	b.sees("kim decided: cancel")
	close(hold)
	w.rests(t, "order-7")
}

// TestTheSliderGoesThroughTheHistory checks that the slider shows the diagram at an earlier
// revision. The timeline must show each attempt: a failed one, the wait after it, a rejected one,
// and the undos.
func TestTheSliderGoesThroughTheHistory(t *testing.T) {
	w := newWorld(t)
	var charges atomic.Int32
	w.when(func(_ context.Context, action string, _ purchase) error {
		switch {
		case action != "charge":
			return nil
		case charges.Add(1) == 1:
			return errors.New("the bank does not answer")
		}
		return participant.Reject("insufficient funds")
	})
	w.startWith(t, "order-9", strings.Repeat("a long note ", 200))
	if phase := w.rests(t, "order-9"); phase != "compensated" {
		t.Fatalf("the saga is %s, want compensated", phase)
	}
	b := w.open(t, 1280, 1200)
	b.goTo("/sagas/order-9")
	b.until(`document.querySelector('[data-step="charge-card"]').dataset.status === "rejected"`)
	b.until(`document.querySelector('[data-step="reserve-stock"]').dataset.status === "undone"`)
	b.until(`document.querySelectorAll(".bar").length === 6`)
	bars := []string{"check-address: attempt 1, .*, completed", "reserve-stock: attempt 1, .*, completed", "reserve-stock: undo, attempt 1, .*, completed",
		"charge-card: attempt 1, .*, failed", "charge-card: waiting, .*", "charge-card: attempt 2, .*, rejected"}
	for i, bar := range bars {
		b.until(fmt.Sprintf(`/^%s$/.test(document.querySelectorAll(".bar")[%d].ariaLabel)`, bar, i))
	}
	// Large payloads are collapsed.
	b.until(`document.querySelector('section[aria-label="Facts"] details').open === false`)
	b.axe("a compensated saga")
	b.picture("console-history")
	b.run(focus(`input[type="range"]`))
	b.press(kb.Home)
	b.sees("State at revision 1")
	b.until(`document.querySelector('[data-step="charge-card"]').dataset.status === "pending"`)
	b.until(`document.querySelector('[data-step="check-address"]').dataset.status === "doing"`)
	b.press(kb.End)
	b.until(`document.querySelector('[data-step="reserve-stock"]').dataset.status === "undone"`)
}

// TestTheListFollowsTheAddress checks that the filter is read from the URL and written to it, and
// that the list updates live.
func TestTheListFollowsTheAddress(t *testing.T) {
	w := newWorld(t)
	b := w.open(t, 1280, 900)
	b.goTo("/sagas")
	b.sees("No saga yet")
	w.start(t, "order-1")
	b.sees("order-1")
	w.rests(t, "order-1")
	w.when(vanBreaks)
	w.start(t, "order-2")
	w.rests(t, "order-2")
	b.until(`document.querySelector('[data-id="order-2"]')?.innerText.includes("parked")`)
	b.until(`document.querySelector(".badge")?.innerText.startsWith("1")`)
	b.axe("the list")
	b.click(`.toggle.c-bad`)
	b.until(`location.search === "?phase=parked" && !document.querySelector('[data-id="order-1"]')`)
	b.goTo("/sagas?id=order-1")
	b.until(`document.querySelector('[data-id="order-1"]') && !document.querySelector('[data-id="order-2"]')`)
	b.goTo("/sagas?reason=MOTORWAY&definition=checkout@2&step=book-shipment")
	b.until(`document.querySelector('[data-id="order-2"]') && !document.querySelector('[data-id="order-1"]')`)
	w.when(nothingFails)
	w.operate(t, "order-2", "retry")
	b.sees("No saga matches")
}

// TestTheKeyboardIsEnough opens a saga from the list, goes back and opens the help, with keys only.
func TestTheKeyboardIsEnough(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.start(t, fmt.Sprintf("order-%d", i))
		w.rests(t, fmt.Sprintf("order-%d", i))
	}
	b := w.open(t, 1280, 900)
	b.goTo("/sagas")
	b.sees("order-0")
	b.press("j")
	b.press("j")
	b.until(`document.activeElement.innerText === "order-1"`)
	b.press(kb.Enter)
	b.until(`location.pathname === "/sagas/order-1"`)
	b.sees("Steps that Cancel would undo")
	b.press(kb.Escape)
	b.until(`location.pathname === "/sagas"`)
	b.sees("order-0")
	b.press("/")
	b.until(`document.activeElement.type === "search"`)
	b.press("order-2")
	b.until(`location.search === "?id=order-2" && !document.querySelector('[data-id="order-0"]')`)
	b.press(kb.Escape)
	b.press("?")
	b.until(`document.querySelector("dialog").open`)
	b.axe("help")
	b.press(kb.Escape)
	b.until(`!document.querySelector("dialog")`)
	b.press("g")
	b.press("d")
	b.until(`location.pathname === "/definitions"`)
	b.press("t")
	b.until(`document.documentElement.dataset.theme === "light"`)
}

// TestDefinitions shows a definition, and what changed between two versions.
func TestDefinitions(t *testing.T) {
	w := newWorld(t)
	w.start(t, "order-1")
	w.rests(t, "order-1")
	b := w.open(t, 1280, 1000)
	b.goTo("/definitions/checkout/2")
	b.until(`document.querySelectorAll(".box").length === 5`)
	b.sees("timeout")
	b.sees("1 completed")
	b.until(`[...document.querySelectorAll("[data-figures] tbody tr")].some((r) => /^charge-card\s+1\s+0\s+0\s/.test(r.innerText))`)
	b.axe("a definition")
	b.picture("console-definition")
	b.goTo("/definitions/nothing")
	b.sees("No definition named nothing")
}

// TestDeadLetters shows a dead letter, replays it and discards it.
func TestDeadLetters(t *testing.T) {
	w := newWorld(t)
	b := w.open(t, 1280, 900)
	b.goTo("/dead-letters")
	b.sees("No dead letters")
	w.stranger(t, "order-1")
	b.until(`document.querySelectorAll(".letter").length === 1`)
	b.sees(`"heard": "something"`)
	b.axe("dead letters")
	b.picture("console-dead-letters")
	b.click(`.letter input`)
	b.run(clickText("Replay 1"))
	b.click(`dialog [data-confirm]`)
	b.sees("1 replayed")
	b.until(`document.querySelector(".letter")?.dataset.sequence === "2"`) // cannot be processed this time either
	b.click(`.letter input`)
	b.run(clickText("Discard 1"))
	b.click(`dialog [data-confirm]`)
	b.sees("No dead letters")
}

// TestOnAPhone checks that nothing can be scrolled horizontally and no text is missing.
func TestOnAPhone(t *testing.T) {
	w := newWorld(t)
	w.when(vanBreaks)
	w.start(t, "order-42-with-a-long-name-such-as-other-systems-give-8f3c2b1a")
	w.rests(t, "order-42-with-a-long-name-such-as-other-systems-give-8f3c2b1a")
	w.stranger(t, "order-1")
	b := w.open(t, 390, 844)
	for _, p := range []struct{ path, text string }{
		{"/", "1 saga is parked"}, {"/sagas", "order-42"}, {"/sagas/order-42-with-a-long-name-such-as-other-systems-give-8f3c2b1a", "Parked at"},
		{"/definitions/checkout/2", "What changed"}, {"/dead-letters", "something"},
	} {
		b.goTo(p.path)
		b.sees(p.text)
		b.fits(p.path)
		b.axe(p.path + " on a phone")
		if p.path == "/" || strings.HasPrefix(p.path, "/sagas") {
			b.picture("console-phone" + shortened(p.path))
		}
	}
}
