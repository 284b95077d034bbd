//go:build lab

package console_test

import (
	"net/http"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"
	"github.com/chromedp/chromedp"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store/boltstore"
)

// restored starts a coordinator from a current backup of w.
func (w *world) restored(t *testing.T) *world {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.HTTP+"/backup", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := w.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	dir := t.TempDir()
	if err := boltstore.Restore(t.Context(), answer.Body, filepath.Join(dir, server.StoreFile), boltstore.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	return newWorld(t, func(c *server.Config) { c.DataDir = dir })
}

func (w *world) abandon(t *testing.T, id, by string) {
	t.Helper()
	if _, err := w.Operate(t.Context(), connect.NewRequest(&apiv1.OperateRequest{Id: id, Decision: &apiv1.Decision{Operation: "abandon", By: by, Reason: "it is settled"}})); err != nil {
		t.Fatal(err)
	}
}

// TestRestoredStoreIsShown checks a restore that takes the store back to a state older than what an
// open page has received. The page shows only the restored state and its history.
func TestRestoredStoreIsShown(t *testing.T) {
	const row, revision = `document.querySelector('[data-id="order-1"]')`, `document.querySelector('[data-id="order-1"] .k-revision').innerText`
	w := newWorld(t)
	w.when(vanBreaks)
	w.start(t, "order-1")
	w.rests(t, "order-1")
	behind := w.restored(t)
	p := w.proxy(t)
	list, page := w.open(t, 1280, 900), w.open(t, 1280, 900)
	list.home, page.home = p.url, p.url
	list.goTo("/sagas")
	list.until(`document.querySelector("[data-live=true]") && ` + row + `.innerText.includes("parked")`)
	var parked string
	list.eval(revision, &parked)
	page.goTo("/sagas/order-1")
	page.until(`document.querySelector("tr[data-revision='` + parked + `']")`)
	heard := `Number(` + parked + `) + 1`

	w.abandon(t, "order-1", "ada")
	list.until(row + `.innerText.includes("abandoned") && Number(` + revision + `) === ` + heard)
	page.until("document.querySelector(`tr[data-revision='${" + heard + "}']`).innerText.includes('ada')")

	page.run(chromedp.Evaluate(`{ const ask = window.fetch; window.fetch = (url, init) => String(url).endsWith("/Watch")
		? Promise.reject(new TypeError("no connection is free")) : ask(url, init); 1 }`, nil)) // forces the page to poll
	p.leadTo(behind.HTTP)
	list.until(row + `.innerText.includes("parked") && ` + revision + ` === "` + parked + `"`)
	page.until(`document.querySelector("[data-parked]") && !document.querySelector("[data-operation=abandon]").disabled`)
	page.until(`document.querySelector("tr[data-revision]").dataset.revision === "` + parked + `"`)

	behind.abandon(t, "order-1", "sam")
	list.until(row + `.innerText.includes("abandoned")`)
	page.until("document.querySelector(`tr[data-revision='${" + heard + "}']`).innerText.includes('sam')")
	list.forget() // aborted requests
	page.forget()
}

// TestHistoryIsOfWhatHappened checks that a page does not mix the events from before and after a
// restore, even if the restored saga has reached the revision that the page knew.
func TestHistoryIsOfWhatHappened(t *testing.T) {
	w := newWorld(t)
	w.when(vanBreaks)
	w.start(t, "order-1")
	w.rests(t, "order-1")
	behind := w.restored(t)
	p := w.proxy(t)
	page := w.open(t, 1280, 900)
	page.home = p.url
	page.goTo("/sagas/order-1")
	page.until(`document.querySelector("[data-parked]")`)
	w.abandon(t, "order-1", "ada")
	page.until(`document.querySelector("tr[data-revision]").innerText.includes("ada")`)
	behind.abandon(t, "order-1", "sam")
	p.leadTo(behind.HTTP)
	page.until(`document.querySelector("tr[data-revision]").innerText.includes("sam") && !document.querySelector("table.history").innerText.includes("ada")`)
	page.forget() // aborted requests
}
