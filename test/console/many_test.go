//go:build lab

package console_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// TestTenThousandSagasDoNotStallTheList scrolls through all sagas. Only the visible rows are in the
// page, and long tasks (over 50 ms) block the page for a small part of the time.
func TestTenThousandSagasDoNotStallTheList(t *testing.T) {
	const sagas = 10_000
	w := newWorld(t)
	w.many(t, sagas)
	b := w.open(t, 1280, 900)
	b.goTo("/sagas")
	b.sees("order-")
	var first struct{ Blocked, Took float64 }
	b.eval(scroll(sagas), &first)
	t.Logf("scrolled through in %.0f ms, %.0f ms of it blocked", first.Took, first.Blocked)
	if ratio := first.Blocked / first.Took; ratio > 0.25 {
		t.Errorf("the page was blocked for %.0f %% of the time, want at most 25 %%", ratio*100)
	}
	var there struct {
		Rows, Last int
		Ids        []string
	}
	b.eval(`(() => {
		const rows = [...document.querySelectorAll(".row[data-id]")];
		return { rows: rows.length, last: Math.max(...rows.map((r) => Number(r.dataset.index))), ids: rows.map((r) => r.dataset.id) };
	})()`, &there)
	if there.Last != sagas-1 {
		t.Errorf("the last row is number %d, want %d", there.Last+1, sagas)
	}
	if there.Rows > 80 {
		t.Errorf("%d rows are in the page, want only those in view", there.Rows)
	}
	slices.Sort(there.Ids)
	if distinct := len(slices.Compact(there.Ids)); distinct != there.Rows {
		t.Errorf("%d rows show %d sagas", there.Rows, distinct)
	}
}

// many starts n sagas in parallel.
func (w *world) many(t *testing.T, n int) {
	t.Helper()
	ids := make(chan string)
	var starting sync.WaitGroup
	for range 64 {
		starting.Go(func() {
			for id := range ids {
				w.start(t, id)
			}
		})
	}
	for i := range n {
		ids <- fmt.Sprintf("order-%05d", i)
	}
	close(ids)
	starting.Wait()
}

// scroll returns a script that scrolls through the list by one step per frame. The script returns
// the time that took and the time for which the page was blocked.
func scroll(rows int) string {
	return fmt.Sprintf(`new Promise((resolve, reject) => {
		let blocked = 0;
		const seen = new PerformanceObserver((list) => { for (const e of list.getEntries()) blocked += e.duration - 50; });
		seen.observe({ entryTypes: ["longtask"] });
		const grid = document.querySelector(".grid"), begun = performance.now();
		const step = () => {
			const last = document.querySelector('[data-index="%d"]');
			if (performance.now() - begun > 50000) return reject(new Error("timed out before the end:  " + grid.scrollTop + " of " + grid.scrollHeight));
			if (last) return setTimeout(() => { seen.disconnect(); resolve({ blocked, took: performance.now() - begun }); }, 100);
			grid.scrollTop += grid.clientHeight;
			requestAnimationFrame(step);
		};
		requestAnimationFrame(step);
	})`, rows-1)
}
