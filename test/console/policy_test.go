//go:build lab

package console_test

import (
	"slices"
	"strings"
	"testing"
)

// TestThePolicyHolds does what the policy forbids (inline script, inline style, requests to other
// hosts), and checks that each is blocked and reported.
func TestThePolicyHolds(t *testing.T) {
	w := newWorld(t)
	b := w.open(t, 1000, 700)
	b.goTo("/dead-letters")
	b.sees("No dead letters")
	var ran struct {
		Script, Style, Left bool
	}
	b.eval(`(async () => {
		const script = document.createElement("script"), style = document.createElement("style");
		script.textContent = "window.ran = true";
		style.textContent = "h1 { position: fixed }";
		document.head.append(script, style);
		const left = await fetch("http://127.0.0.2:9/").then(() => true, () => false);
		return { script: window.ran === true, style: getComputedStyle(document.querySelector("h1")).position === "fixed", left };
	})()`, &ran)
	if ran.Script || ran.Style || ran.Left {
		t.Errorf("the policy let through: %+v", ran)
	}
	heard := b.forget()
	for _, want := range []string{"script-src", "style-src", "connect-src"} {
		if !slices.ContainsFunc(heard, func(p string) bool { return strings.Contains(p, want) }) {
			t.Errorf("no violation of %s was reported: %q", want, heard)
		}
	}
}

// TestWhatIsNotThere checks that unknown addresses show a message that says where to look.
func TestWhatIsNotThere(t *testing.T) {
	w := newWorld(t)
	b := w.open(t, 1000, 700)
	b.goTo("/sagas/nobody")
	b.sees("No saga with the id nobody")
	b.axe("a saga that is not there")
	for _, p := range b.forget() {
		if !strings.Contains(p, "404") || !strings.Contains(p, "/Get") {
			t.Error(p) // Chromium reports the 404 of the API; any other problem is an error
		}
	}
	b.run(clickText("Show the list"))
	b.sees("No saga yet")
}
