//go:build lab

package console_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/server"
)

// TestLogin checks that a browser without a session is redirected to the login page, and after a
// login to the page it requested. The console shows who is logged in. Logging out leads to the
// login page.
func TestLogin(t *testing.T) {
	secret, line, err := access.NewToken("olga", access.RoleViewer, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *server.Config) { c.Access.Tokens = file })
	b := w.open(t, 1000, 700)
	const token, out = "#token", `button[aria-label="Log out"]` // each exists on only one of the two pages
	shown := func(selector string) { b.run(chromedp.WaitVisible(selector, chromedp.ByQuery)) }
	b.goTo("/sagas")
	shown(token)
	b.fits("the login page")
	b.axe("the login page")
	b.picture("login")
	// The page has a grid layout only if the policy permits its style.
	b.until(`getComputedStyle(document.body).display === "grid"`)
	b.write(token, secret)
	b.click("button")
	shown(out)
	b.until(`location.pathname === "/sagas"`)
	b.sees("olga")
	var cookies string
	if b.eval(`document.cookie`, &cookies); cookies != "" {
		t.Errorf("a script can read the session: %s", cookies)
	}
	b.click(out)
	shown(token)
	b.goTo("/")
	shown(token)
}
