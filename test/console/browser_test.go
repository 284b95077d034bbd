//go:build lab

package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// tab is a page in a real browser. When the test ends, it fails if the page has logged to the
// console, thrown an exception, or requested anything from a different host.
type tab struct {
	t    *testing.T
	ctx  context.Context
	home string

	mu       sync.Mutex
	problems []string
	asked    int
}

// open opens a tab of the given size. It skips the test if there is no Chromium.
func (w *world) open(t *testing.T, width, height int64) *tab {
	t.Helper()
	binary := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			binary = found
			break
		}
	}
	if binary == "" {
		t.Skip("Chromium is not installed: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(binary), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.WindowSize(int(width), int(height)), chromedp.WSURLReadTimeout(limit))
	ctx, cancel := context.WithTimeout(context.Background(), 3*limit)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, shut := chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {})) // it logs events of newer browsers that it does not know
	t.Cleanup(shut)
	if err := chromedp.Run(ctx); err != nil { // the browser runs as long as this context
		t.Fatal(err)
	}
	b := &tab{t: t, ctx: ctx, home: w.HTTP}
	chromedp.ListenTarget(ctx, b.hear)
	b.run(network.Enable(), log.Enable(), runtime.Enable(),
		emulation.SetDeviceMetricsOverride(width, height, 1, width < 720),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "light"}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
	t.Cleanup(b.judge)
	return b
}

// hear records events that a page must not cause.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	note := func(format string, a ...any) { b.problems = append(b.problems, fmt.Sprintf(format, a...)) }
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			note("console.%s: %s", e.Type, e.Args[0].Value)
		}
	case *runtime.EventExceptionThrown:
		note("exception: %s", e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			note("log: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		b.asked++
		if u, err := url.Parse(e.Request.URL); err != nil || (u.Scheme != "data" && !strings.HasPrefix(e.Request.URL, b.home+"/")) {
			note("a request leaves the host: %s", e.Request.URL)
		}
	}
}

func (b *tab) judge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Error(p)
	}
	if b.asked == 0 {
		b.t.Error("no request of the page was recorded")
	}
}

// forget returns the recorded problems and removes them, for tests that cause some on purpose.
func (b *tab) forget() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.problems
	b.problems = nil
	return was
}

func (b *tab) run(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	err := chromedp.Run(ctx, actions...)
	for err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "Cannot find context") { // the page changed
		err = chromedp.Run(ctx, actions...)
	}
	if err != nil {
		var seen string
		_ = chromedp.Run(b.ctx, chromedp.Evaluate(`document.body.innerText.slice(0, 3000)`, &seen))
		b.t.Fatalf("%v; on the page: %s", err, seen)
	}
}

func (b *tab) goTo(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.home + path))
}

// until waits until a JavaScript expression is true. An exception counts as false.
func (b *tab) until(expression string) {
	b.t.Helper()
	var is bool
	b.run(chromedp.Poll("(() => { try { return !!("+expression+"); } catch { return false; } })()", &is, chromedp.WithPollingTimeout(limit)))
}

// sees waits until the page shows a text.
func (b *tab) sees(text string) {
	b.t.Helper()
	quoted, _ := json.Marshal(text)
	b.until(fmt.Sprintf(`document.body.innerText.includes(%s)`, quoted))
}

func (b *tab) eval(expression string, into any) {
	b.t.Helper()
	b.run(chromedp.Evaluate(expression, into, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.run(chromedp.Click(selector, chromedp.ByQuery, chromedp.NodeVisible))
}

func (b *tab) write(selector, text string) {
	b.t.Helper()
	b.run(chromedp.SendKeys(selector, text, chromedp.ByQuery, chromedp.NodeVisible))
}

// press presses keys as a keyboard does. The page can prevent the character from being typed.
func (b *tab) press(keys string) {
	b.t.Helper()
	for _, key := range keys {
		events := kb.Encode(key)
		down, up := events[0], events[len(events)-1]
		for _, e := range events {
			if e.Type == input.KeyChar {
				down.Type, down.Text, down.UnmodifiedText = input.KeyDown, e.Text, e.UnmodifiedText
			}
		}
		b.run(down, up)
	}
}

// axe runs axe-core and reports serious and critical findings as errors.
func (b *tab) axe(where string) {
	b.t.Helper()
	b.t.Run("axe on "+where, func(t *testing.T) {
		source, err := os.ReadFile(filepath.Join("..", "..", "internal", "console", "web", "node_modules", "axe-core", "axe.min.js"))
		if err != nil {
			t.Skip("axe-core is not installed: npm ci --prefix console/web")
		}
		var found struct {
			Passes  int
			Serious []string
		}
		b.eval(string(source)+`; axe.run(document).then((r) => ({ passes: r.passes.length, serious: r.violations
			.filter((v) => v.impact === "serious" || v.impact === "critical")
			.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.html.slice(0, 200) + " " + (n.failureSummary ?? ""))) }))`, &found)
		for _, f := range found.Serious {
			t.Error(f)
		}
		if found.Passes == 0 {
			t.Error("nothing was checked")
		}
	})
}

// fits fails if the page can be scrolled horizontally.
func (b *tab) fits(where string) {
	b.t.Helper()
	var over int
	b.eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &over)
	if over > 0 {
		b.t.Errorf("%s: %d pixels too wide", where, over)
	}
}

// picture saves a screenshot in docs/images if AMENDS_CONSOLE_PICTURES is set.
func (b *tab) picture(name string) {
	b.t.Helper()
	if os.Getenv("AMENDS_CONSOLE_PICTURES") == "" {
		return
	}
	var png []byte
	b.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		png, err = page.CaptureScreenshot().Do(ctx)
		return err
	}))
	if err := os.WriteFile(filepath.Join("..", "..", "docs", "images", name+".png"), png, 0o644); err != nil {
		b.t.Error(err)
	}
}

// shot saves screenshots for reviewers, light and dark, wide and narrow, in the directory
// AMENDS_CONSOLE_SHOTS.
func (b *tab) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("AMENDS_CONSOLE_SHOTS")
	if dir == "" {
		return
	}
	see := func(width, height int64, scheme string) {
		b.run(emulation.SetDeviceMetricsOverride(width, height, 1, width < 720),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
	}
	for _, scheme := range []string{"light", "dark"} {
		for _, size := range [][2]int64{{1280, 900}, {390, 844}} {
			see(size[0], size[1], scheme)
			var png []byte
			b.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
				png, err = page.CaptureScreenshot().Do(ctx)
				return err
			}))
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s-%d.png", name, scheme, size[0])), png, 0o600); err != nil {
				b.t.Error(err)
			}
		}
	}
	see(1280, 900, "light")
}
