//go:build lab

package console_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/amends-dev/amends/internal/canary"
	"github.com/amends-dev/amends/internal/console"
	"github.com/amends-dev/amends/server"
)

// hostile is the definition in whose diagram hostile text is drawn.
const hostile = `{"name":"checkout","version":1,"steps":[{"step":{"name":"charge","kind":"pivot","do":{"participant":"payment","action":"charge"}}}]}`

// TestWhatOthersWroteIsShownSafely checks that no page shows control or invisible characters from
// an answer, in any element or attribute. Right-to-left text stays in its own element.
func TestWhatOthersWroteIsShownSafely(t *testing.T) {
	id := "/sagas/" + url.PathEscape(canary.Text)
	for name, c := range map[string]*canary.Coordinator{"yes": {Yes: true, Source: hostile}, "no": {Source: hostile}, "errors": {Fails: true}} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.Handle("/amends.api.v1.CoordinatorService/", c)
			mux.Handle("/", console.Handler())
			page := httptest.NewServer(mux)
			t.Cleanup(page.Close)
			b := (&world{Addresses: server.Addresses{HTTP: page.URL}}).open(t, 1280, 900)
			for _, path := range []string{"/", "/sagas", "/sagas?phase=parked&q=" + url.QueryEscape(canary.Text), id, "/definitions", "/definitions/checkout/1", "/definitions/" + url.PathEscape(canary.Text), "/dead-letters"} {
				b.goTo(path)
				b.until(`document.querySelector("main")?.innerText.includes("canary")` + maybe(path == "/definitions/checkout/1" || c.Fails))
				b.looksSafe(path)
				var dialogs int // number of dialogs opened by clicks
				b.eval(`document.querySelectorAll("main details").forEach((d) => d.open = true), document.querySelectorAll("main button[data-operation]:not(:disabled)").length`, &dialogs)
				if dialogs > 0 {
					b.click(`main button[data-operation]:not(:disabled)`)
					b.until(`document.querySelector("dialog")`)
				}
				b.looksSafe(path + ", opened")
			}
			for _, problem := range b.forget() { // problems caused by canaries are expected
				if strings.Contains(problem, "exception") {
					t.Error(problem)
				}
			}
		})
	}
}

// maybe returns the check for a page. A page without foreign text need only exist.
func maybe(nothing bool) string {
	if nothing {
		return ` || document.querySelector("main h1, main h2, main .notice")`
	}
	return ""
}

// looksSafe checks every text and attribute that users see or hear.
func (b *tab) looksSafe(where string) {
	b.t.Helper()
	var shown struct {
		Texts    []string
		Outside  []string
		Elements int
	}
	b.eval(`(() => {
		const texts = [document.title], outside = [];
		const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		while (walk.nextNode()) {
			const node = walk.currentNode;
			if (!node.parentElement.closest("script, style, pre")) texts.push(node.data);
			if (node.parentElement.closest("pre")) texts.push(node.data.replace(/[\n\t]/g, ""));
			if (/[\u05d0-\u05ea]/.test(node.data) && !node.parentElement.closest("bdi, option, svg, textarea")) outside.push(node.data);
		}
		const all = document.querySelectorAll("body, body *");
		for (const e of all) for (const a of e.attributes) if (/^(title|alt|label|placeholder|aria-.*)$/.test(a.name)) texts.push(a.value);
		return { texts, outside, elements: all.length };
	})()`, &shown)
	if shown.Elements < 10 {
		b.t.Errorf("%s: the page is empty", where)
	}
	for _, text := range shown.Texts {
		if i := strings.IndexFunc(text, canary.Obeyed); i >= 0 {
			b.t.Errorf("%s shows %q", where, text)
		}
		if strings.Contains(text, "\nforged") {
			b.t.Errorf("%s: foreign text stands on a line of its own: %q", where, text)
		}
	}
	for _, text := range shown.Outside {
		b.t.Errorf("%s: right-to-left text is not isolated: %q", where, text)
	}
}
