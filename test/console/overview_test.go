//go:build lab

package console_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/internal/corrupttest"
	"github.com/amends-dev/amends/participant"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/server"
)

// TestTheOverviewIsLive checks that parked sagas are shown first and highlighted, and that the
// numbers update.
func TestTheOverviewIsLive(t *testing.T) {
	w := newWorld(t)
	b := w.open(t, 1280, 900)
	b.goTo("/")
	b.sees("No saga yet")
	b.until(`document.querySelector('[data-participant="shipping"]').innerText.includes("listening")`)
	w.when(mixed)
	for i := range 60 {
		w.start(t, fmt.Sprintf("order-%02d", i))
	}
	for i := range 60 {
		w.rests(t, fmt.Sprintf("order-%02d", i))
	}
	b.until(`document.querySelector("main > [data-parked]").innerText.includes("3 sagas are parked.")`)
	b.until(`document.querySelector(".tile").innerText.startsWith("Parked\n3")`)
	b.until(`document.querySelector('section[aria-label="By definition"]').innerText.includes("12 compensated")`)
	b.until(`Number(document.querySelector(".three .chart[role=img]").ariaLabel.match(/started at most ([0-9]+)/)[1]) > 0`)
	b.until(`/shipping\s+listening\s+0\s+0\s+[0-9.]+ m?s/.test(document.querySelector('[data-participant="shipping"]').innerText)`)
	b.axe("the overview")
	b.picture("console-overview")
	b.press("t")
	b.press("t")
	b.until(`document.documentElement.dataset.theme === "dark"`)
	b.axe("the overview in the dark")
	b.picture("console-overview-dark")
	b.run(clickText("Show them"))
	b.until(`location.search === "?phase=parked&open=1"`)
	b.until(`document.querySelectorAll(".row[data-id]").length === 3`)
	b.axe("the list in the dark")
}

// mixed answers as on a normal day: most steps succeed, some cards are rejected, and one shipment
// in twenty fails.
func mixed(_ context.Context, action string, p purchase) error {
	var n int
	if _, err := fmt.Sscanf(p.Order, "order-%d", &n); err != nil {
		return err
	}
	switch {
	case action == "charge" && n%5 == 1:
		return participant.Reject("insufficient funds")
	case action == "book" && n%20 == 10:
		return errors.New("the van broke down")
	}
	return nil
}

// TestBlockedSagasAreAnAlarm checks that the overview lists a saga with a damaged record as soon as
// the coordinator has read it, and says what is damaged.
func TestBlockedSagasAreAnAlarm(t *testing.T) {
	dir := t.TempDir()
	here := func(config *server.Config) { config.DataDir = dir }
	t.Run("before", func(t *testing.T) {
		w := newWorld(t, here)
		for _, id := range []string{"order-1", "order-2"} {
			w.start(t, id)
			w.rests(t, id)
		}
	})
	if err := corrupttest.Saga(t.Context(), filepath.Join(dir, server.StoreFile), "order-1", "order-2"); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, here)
	b := w.open(t, 1280, 900)
	b.goTo("/")
	b.until(`document.querySelector(".tile") && !document.querySelector("[data-blocked]")`)
	_, err := w.Start(t.Context(), connect.NewRequest(&apiv1.StartRequest{Id: "order-1", Definition: &apiv1.DefinitionRef{Name: "checkout"}, Input: `{"order": "order-1", "cents": 1}`}))
	if err == nil || !strings.Contains(err.Error(), "damaged record") {
		t.Fatalf("starting a damaged saga: %v", err)
	}
	b.until(`document.querySelector("main > [data-blocked]")?.innerText.includes("1 saga is blocked.")`)
	b.until(`/order-1, found .*: .*damaged record/.test(document.querySelector("main > [data-blocked] li").innerText)`)
	b.axe("the overview with a blocked saga")
	b.picture("console-overview-blocked")
}
