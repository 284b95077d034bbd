//go:build lab

package console_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/cli"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
)

// rowsOn evaluates to the ids of the rows, in the order of the list.
const rowsOn = `JSON.stringify([...document.querySelectorAll(".row[data-id]")].sort((a, b) => a.dataset.index - b.dataset.index).map((r) => r.dataset.id))`

// TestCursorIsASaga checks that keys act on the saga under the cursor, even if new sagas move its
// row.
func TestCursorIsASaga(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.start(t, fmt.Sprintf("order-%d", i))
	}
	b := w.open(t, 1280, 900)
	b.goTo("/sagas")
	b.until(`document.querySelectorAll(".row[data-id]").length === 3`)
	b.press("jj")
	b.until(`document.querySelector(".row.current").dataset.id === "order-1"`)
	w.start(t, "order-3")
	w.start(t, "order-4")
	b.until(`document.querySelector(".row.current").dataset.id === "order-1" && document.querySelector(".row.current").dataset.index === "3"`)
	b.press("x")
	b.until(`document.querySelectorAll(".row input:checked").length === 1 && document.querySelector('[data-id="order-1"] input').checked`)
	b.press("j")
	b.until(`document.activeElement.innerText === "order-0"`)
	b.press("k")
	b.press("k")
	b.until(`document.activeElement.innerText === "order-2"`)
}

// TestRowsHoldStill checks that rows do not move while the pointer is on them, the list is scrolled
// or rows are selected. A button shows the number of new sagas.
func TestRowsHoldStill(t *testing.T) {
	w := newWorld(t)
	next := 0
	more := func(n int) {
		for range n {
			w.start(t, fmt.Sprintf("order-%03d", next))
			next++
		}
	}
	more(60)
	b := w.open(t, 1280, 900)
	b.goTo("/sagas")
	b.until(`document.querySelector('[data-index="0"]').dataset.id === "order-059"`)
	holds := func(why string) {
		t.Helper()
		var before, after string
		b.eval(rowsOn, &before)
		more(12)
		b.until(`document.querySelector("[data-news]")?.innerText === "12 new"`)
		b.eval(rowsOn, &after)
		if before != after {
			t.Errorf("while %s, the rows were\n%s\nand are\n%s", why, before, after)
		}
	}
	b.run(input.DispatchMouseEvent(input.MouseMoved, 600, 500))
	holds("the pointer is over the list")
	b.axe("a list that is held still")
	b.click("[data-news]")
	b.until(fmt.Sprintf(`!document.querySelector("[data-news]") && document.querySelector('[data-index="0"]').dataset.id === "order-%03d"`, next-1))
	b.run(input.DispatchMouseEvent(input.MouseMoved, 5, 5))
	more(1)
	// The list is live without a pointer.
	b.until(fmt.Sprintf(`document.querySelector('[data-index="0"]').dataset.id === "order-%03d"`, next-1))
	b.press("jx")
	b.until(`document.querySelectorAll(".row input:checked").length === 1`)
	holds("one is selected")
	b.shot("held")
	b.press("x")
	b.until(fmt.Sprintf(`!document.querySelector("[data-news]") && document.querySelector('[data-index="0"]').dataset.id === "order-%03d"`, next-1))
	b.run(chromedp.Evaluate(`document.querySelector(".grid").scrollTop = 700; 1`, nil))
	b.until(`document.querySelector('[data-index="30"]')`)
	holds("it is scrolled")
}

// TestEscapeKeepsTheFilter checks that Escape returns to the filtered list, also after a reload of
// the saga's page.
func TestEscapeKeepsTheFilter(t *testing.T) {
	w := newWorld(t)
	w.start(t, "order-1")
	w.rests(t, "order-1")
	b := w.open(t, 1280, 900)
	b.goTo("/sagas?phase=completed&since=1h")
	b.until(`document.querySelector('[data-id="order-1"]')`)
	b.press("j")
	b.press(kb.Enter)
	b.until(`location.pathname === "/sagas/order-1"`)
	b.run(chromedp.Reload())
	b.sees("Steps that Cancel would undo")
	b.press(kb.Escape)
	b.until(`location.pathname + location.search === "/sagas?phase=completed&since=1h"`)
}

// TestSilenceIsSeen checks that every page reports a coordinator that accepts connections but does
// not answer. Known data stays visible with its age, and an unknown list is not shown as empty.
// When the coordinator answers again, the page recovers.
func TestSilenceIsSeen(t *testing.T) {
	w := newWorld(t)
	w.start(t, "order-1")
	w.rests(t, "order-1")
	p := w.proxy(t)
	b := w.open(t, 1280, 900)
	b.home = p.url
	for _, page := range []struct{ path, shows string }{
		{"/", `document.querySelector(".tile")`},
		{"/sagas", `document.querySelector('[data-id="order-1"]')`},
		{"/sagas/order-1", `document.querySelector('[data-step="confirm"]')`},
		{"/definitions", `document.querySelector(".box")`},
		{"/dead-letters", `document.querySelector(".empty")`},
	} {
		b.goTo(page.path)
		b.until(page.shows)
		p.hang(true)
		b.until(`/has not answered since/.test(document.querySelector("[data-offline]")?.innerText)`)
		b.until(`document.querySelector("[data-old=true]")?.innerText.startsWith("as of ")`)
		b.until(page.shows)
		b.fits(page.path)
		if page.path == "/sagas" {
			b.until(`document.querySelector("[data-live=false]")`)
			b.axe("a list without a coordinator")
			b.shot("silent-list")
			b.run(clickText("parked")) // a filter without cached data
			b.sees("Loading")
			b.until(`!document.body.innerText.includes("No saga")`)
			b.sees("The list could not be read")
			b.shot("silent-unknown")
		}
		p.hang(false)
		b.until(`!document.querySelector("[data-offline]") && !document.querySelector("[data-old=true]")`)
		if page.path == "/sagas" {
			b.sees("No saga matches")
		}
	}
	b.forget() // timed out requests
}

// TestOwnerIsNamed checks that the owner of the prefix is shown, and highlighted while its
// ownership is unconfirmed.
func TestOwnerIsNamed(t *testing.T) {
	w := newWorld(t)
	b := w.open(t, 1280, 900)
	b.goTo("/")
	host, _ := os.Hostname()
	b.until(fmt.Sprintf(`document.querySelector("p[data-owner]").innerText.includes("on %s")`, host))
	b.until(`/Prefix saga · owner: store .+, claim [0-9]+, on /.test(document.querySelector("p[data-owner]").innerText) && !document.querySelector(".notice[data-owner]")`)
	b.until(`document.querySelector("p[data-owner]").innerText.includes("NATS nats://127.0.0.1:")`)
	for _, is := range []struct{ name, owner, says string }{
		{"unsure", `ours: true, confirmed: false, waiting: "the claim could not be confirmed: away", lastConfirmed: new Date().toISOString()`, "The ownership of the prefix saga is not confirmed."},
		{"waiting", `waiting: "the store's last process, on there, has not said that it ended"`, "This store does not own the prefix saga yet."},
		{"replaced", `replaced: true`, "Another store has taken over the prefix saga."},
	} {
		b.goTo("/")
		b.until(`document.querySelector("p[data-owner]")`)
		b.run(chromedp.Evaluate(`{ const ask = window.fetch; window.fetch = async (url, init) => {
			const answer = await ask(url, init);
			if (!String(url).endsWith("GetOverview")) return answer;
			const { overview } = await answer.json();
			overview.owner = { prefix: "saga", store: "S2", claim: 9, host: "there", since: new Date().toISOString(), `+is.owner+` };
			return new Response(JSON.stringify({ overview }), { headers: { "Content-Type": "application/json" } });
		}; 1 }`, nil))
		b.until(fmt.Sprintf(`document.querySelector(".notice[data-owner]")?.innerText.includes(%q) && !document.querySelector("p[data-owner]")`, is.says))
		b.until(`document.querySelector(".notice[data-owner]").innerText.includes("owner: store S2, claim 9, on there")`)
		b.axe("the overview while the owner is " + is.name)
		b.shot("owner-" + is.name)
	}
}

// TestColoursOfTrouble checks that failures never have the colour of success, and that the button
// that confirms an operation cannot be mistaken for the one that closes the dialog.
func TestColoursOfTrouble(t *testing.T) {
	w := newWorld(t)
	hold := w.holds(t, "book")
	w.start(t, "order-7")
	b := w.open(t, 1280, 900)
	b.goTo("/")
	b.until(`document.querySelector('[data-line="failed"] path')`)
	for _, name := range []string{"failed", "parked", "compensated"} {
		b.until(fmt.Sprintf(`(() => { const of = (name) => getComputedStyle(document.querySelector('[data-line="' + name + '"] path')).stroke;
			return of(%q) !== of("completed") && of(%[1]q) !== of("started"); })()`, name))
	}
	b.goTo("/sagas/order-7")
	b.until(`!document.querySelector('[data-operation="cancel"]').disabled`)
	b.click(`[data-operation="cancel"]`)
	b.until(`document.querySelector("dialog [data-confirm]").innerText === "Cancel the saga"`)
	b.shot("cancel")
	close(hold)
	w.rests(t, "order-7")
}

// TestCommandsCanBeRun checks that the command line accepts the commands that empty pages show.
func TestCommandsCanBeRun(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	for name, data := range map[string]string{
		"order.json":    `{"order": "order-42", "cents": 4200}`,
		"checkout.yaml": "name: tea\nversion: 1\nsteps:\n  - step: {name: brew, kind: retriable, do: {participant: pot, action: brew}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	b := w.open(t, 1280, 900)
	shown := func(path, selector string) {
		t.Helper()
		b.goTo(path)
		b.until(fmt.Sprintf("document.querySelector(%q)", selector))
		var command string
		b.eval(fmt.Sprintf("document.querySelector(%q).innerText", selector), &command)
		words := strings.Fields(command)
		var out, errs bytes.Buffer
		if words[0] != "coordinator" || cli.Run(t.Context(), append(words[1:], "--server", w.HTTP), strings.NewReader(""), &out, &errs) != 0 {
			t.Errorf("%s shows %q, which fails: %s", path, command, &errs)
		}
	}
	b.goTo("/")
	b.until(`document.querySelector(".empty [data-command]")`)
	b.run(chromedp.Evaluate(`{ const ask = window.fetch; window.fetch = (url, init) => String(url).endsWith("ListDefinitions")
		? Promise.resolve(new Response("{}", { headers: { "Content-Type": "application/json" } })) : ask(url, init); 1 }`, nil))
	b.run(clickText("Definitions"))
	b.sees("No definition yet")
	var apply string
	b.eval(`document.querySelector(".empty pre").innerText`, &apply)
	var out, errs bytes.Buffer
	if cli.Run(t.Context(), append(strings.Fields(apply)[1:], "--server", w.HTTP), strings.NewReader(""), &out, &errs) != 0 {
		t.Errorf("the definitions page shows %q, which fails: %s", apply, &errs)
	}
	shown("/sagas", ".empty pre")
	b.goTo("/sagas")
	b.sees("order-42")
}

// TestCursorStaysInView checks that the saga under the cursor stays visible when new sagas appear
// above it.
func TestCursorStaysInView(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.start(t, fmt.Sprintf("order-%d", i))
	}
	b := w.open(t, 1280, 900)
	b.goTo("/sagas")
	b.until(`document.querySelectorAll(".row[data-id]").length === 3`)
	b.press("jj")
	b.until(`document.activeElement.innerText === "order-1"`)
	for i := range 80 {
		w.start(t, fmt.Sprintf("later-%d", i))
	}
	b.until(`(() => {
		const row = document.querySelector(".row.current"), list = document.querySelector(".grid").getBoundingClientRect();
		if (!/^83,/m.test(document.querySelector("main").innerText) || row?.dataset.index <= 1) return false; // or none of the new sagas is above it
		const at = row?.getBoundingClientRect();
		return row?.dataset.id === "order-1" && at.top >= list.top && at.bottom <= list.bottom && document.activeElement === row.querySelector("a");
	})()`)
	b.press("x")
	b.until(`document.querySelector(".row.current input").checked`)
}

// TestDecisionIsAboutWhatWasChosen checks that an open dialog keeps its step, even if another
// operator decides about that step meanwhile.
func TestDecisionIsAboutWhatWasChosen(t *testing.T) {
	absent := func(name contract.StepName) saga.Block {
		return saga.Retriable(name, saga.Do(contract.NewCommand[purchase, struct{}]("nobody", string(name)), saga.Timeout(100*time.Millisecond), saga.Retry(1, time.Second, time.Second)))
	}
	w := newWorld(t, func(c *server.Config) {
		c.Definitions = append(c.Definitions, saga.MustDefine[purchase]("two", saga.Parallel(absent("ship"), absent("wipe"))))
	})
	ctx := t.Context()
	if _, err := w.Start(ctx, connect.NewRequest(&apiv1.StartRequest{Id: "both", Definition: &apiv1.DefinitionRef{Name: "two"}, Input: `{"order": "both", "cents": 1}`})); err != nil {
		t.Fatal(err)
	}
	b := w.open(t, 1280, 900)
	b.goTo("/sagas/both")
	b.until(`document.querySelectorAll(".chip.parked, [data-step]").length > 0 && !document.querySelector("[data-operation=skip]").disabled`)
	b.until(`(document.querySelector("[data-operation=skip]").click(), document.querySelectorAll("dialog option").length === 2) || (document.querySelector("dialog button[type=button]")?.click(), false)`)
	b.run(choose("dialog select", "ship"))
	if _, err := w.Operate(ctx, connect.NewRequest(&apiv1.OperateRequest{Id: "both", Decision: &apiv1.Decision{Operation: "resolve", Step: "ship", Outcome: "completed", By: "sam", Reason: "it is there"}})); err != nil {
		t.Fatal(err)
	}
	b.until(`/Skip of ship is no longer the same operation/.test(document.querySelector("[data-gone]")?.innerText)`)
	b.until(`document.querySelector("dialog select").value === "ship" && document.querySelector("[data-confirm]").disabled`)
}

// TestUnknownDecision checks that the console does not claim that nothing was decided when the
// answer to a decision is lost.
func TestUnknownDecision(t *testing.T) {
	w := newWorld(t)
	w.when(vanBreaks)
	w.start(t, "order-1")
	w.rests(t, "order-1")
	b := w.open(t, 1280, 900)
	b.goTo("/sagas/order-1")
	b.click(`[data-operation="abandon"]`)
	b.run(chromedp.Evaluate(`{ const ask = window.fetch; window.fetch = (url, init) => String(url).endsWith("/Operate")
		? ask(url, init).then(() => { throw new TypeError("the answer is lost") }) : ask(url, init); 1 }`, nil))
	b.write(`dialog [name="reason"]`, "it is settled")
	b.write(`dialog [name="by"]`, "ada")
	b.click("[data-confirm]")
	b.until(`/It is unknown whether this was done/.test(document.querySelector("dialog [role=alert]")?.innerText)`)
	b.until(`!/Nothing was done|retries automatically/.test(document.querySelector("dialog").innerText)`)
}
