//go:build lab

package console_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/chromedp/chromedp"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

func nothingFails(context.Context, string, purchase) error { return nil }

// holds makes an action wait until the returned channel is closed.
func (w *world) holds(t *testing.T, held string) chan struct{} {
	t.Helper()
	let := make(chan struct{})
	w.when(func(ctx context.Context, action string, _ purchase) error {
		if action != held {
			return nil
		}
		select {
		case <-let:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return let
}

func (w *world) operate(t *testing.T, id, operation string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := w.Operate(ctx, connect.NewRequest(&apiv1.OperateRequest{Id: id, Decision: &apiv1.Decision{Operation: operation, By: "sam", Reason: "by hand"}})); err != nil {
		t.Fatal(err)
	}
}

func focus(selector string) chromedp.Action { return chromedp.Focus(selector, chromedp.ByQuery) }

// clickText clicks the button or link with the given text.
func clickText(text string) chromedp.Action {
	return chromedp.Click(fmt.Sprintf(`//*[self::button or self::a][normalize-space(.)=%q]`, text), chromedp.BySearch)
}

// shortened returns the beginning of a path, for a file name.
func shortened(path string) string {
	if path == "/" {
		return "-overview"
	}
	parts := strings.Split(path, "/")
	if len(parts) > 2 {
		return "-" + parts[1] + "-one"
	}
	return "-" + parts[1]
}

// choose selects an option and fires the change event, as a user's choice does.
func choose(selector, value string) chromedp.Action {
	return chromedp.Evaluate(fmt.Sprintf(`(() => {
		const s = document.querySelector(%q);
		if (s.disabled) throw new Error("the select is disabled");
		s.value = %q;
		s.dispatchEvent(new Event("change", { bubbles: true }));
	})()`, selector, value), nil)
}
