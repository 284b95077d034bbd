//go:build linux && lab

package reliability

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/lab/world"
)

// cycle describes an injected fault and its effect.
type cycle struct {
	number int // counted from 1
	fault  string
	struck string    // the process that it hit
	made   time.Time // when it was made
	fixed  time.Time // when the repair began
	over   time.Time // when sagas made progress again
	met    int       // acknowledged sagas that were in flight
	queues string    // the state of the queues, if recovery took suspiciously long
	acked  time.Duration
	ended  time.Duration // times from fixed to the first acknowledgement and the first end of a later saga
}

// row is the row of one fault in the table.
type row struct {
	tried, met           int
	lost, doubled, stuck int
	acked, ended, gap    []time.Duration
	last                 time.Duration
}

// table groups the cycles by fault. A finding counts for every fault during which its saga was in
// flight. One that belongs to no saga counts in the sum only.
func table(runs []world.Run, cycles []cycle, found []world.Finding) string {
	rows := map[string]*row{}
	total := &row{}
	byID := map[contract.SagaID]*world.Run{}
	for i := range runs {
		byID[runs[i].ID] = &runs[i]
	}
	for i := range cycles {
		c := &cycles[i]
		r := rows[c.fault]
		if r == nil {
			r = &row{}
			rows[c.fault] = r
		}
		gap, last := world.LongestGap(runs, c.made, c.over, func(r *world.Run) time.Time { return r.Acked }), c.lastOfMet(runs)
		for _, to := range []*row{r, total} {
			to.tried++
			to.met += c.met
			to.acked = append(to.acked, c.acked)
			to.ended = append(to.ended, c.ended)
			to.gap = append(to.gap, gap)
			to.last = max(to.last, last)
		}
	}
	for _, f := range found {
		total.count(f)
		seen := map[string]bool{}
		for i := range cycles {
			if c := &cycles[i]; !seen[c.fault] && c.meets(byID[f.Saga]) {
				seen[c.fault] = true
				rows[c.fault].count(f)
			}
		}
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "tried\tsagas under way\tlost\tdoubled\tstuck\tto first start p50\tmax\tto first end p50\tmax\tto last end of those\tgap max\t  fault")
	for _, f := range faults {
		if r := rows[f.name]; r != nil {
			r.write(w, f.name)
			delete(rows, f.name)
		}
	}
	for name, r := range rows { // the planted faults
		r.write(w, name)
	}
	total.write(w, "all")
	_ = w.Flush()
	return b.String()
}

// slow lists the cycles after which the first start or the first end took longer than bound or
// never came.
func slow(cycles []cycle, bound time.Duration) string {
	var b strings.Builder
	for _, c := range cycles {
		if c.acked > bound || c.ended > bound || c.ended == 0 {
			fmt.Fprintf(&b, "  fault %d: %s (%s), made %s, fixed %s: first start after %s, first end after %s\n",
				c.number, c.fault, c.struck, c.made.Format(clock), c.fixed.Format(clock), short(c.acked), short(c.ended))
			b.WriteString(c.queues)
		}
	}
	return b.String()
}

// clock is the time format of the logs.
const clock = "15:04:05.000"

// meets reports whether the saga was in flight at some time of the cycle.
func (c *cycle) meets(r *world.Run) bool {
	return r != nil && r.Began.Before(c.over) && (r.Ended.IsZero() || r.Ended.After(c.made))
}

// lastOfMet considers the sagas that were acknowledged and in flight when the fault was injected.
// It returns the time from the repair to the last end of these sagas, which later faults may have
// delayed as well.
func (c *cycle) lastOfMet(runs []world.Run) (last time.Duration) {
	for i := range runs {
		r := &runs[i]
		if !r.Acked.IsZero() && r.Acked.Before(c.made) && r.Ended.After(c.fixed) {
			last = max(last, r.Ended.Sub(c.fixed))
		}
	}
	return last
}

func (r *row) count(f world.Finding) {
	switch f.Kind {
	case "lost":
		r.lost++
	case "doubled":
		r.doubled++
	default:
		r.stuck++
	}
}

func (r *row) write(w *tabwriter.Writer, name string) {
	fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t  %s\n", r.tried, r.met, r.lost, r.doubled, r.stuck,
		short(median(r.acked)), short(slices.Max(r.acked)), short(median(r.ended)), short(slices.Max(r.ended)), short(r.last), short(slices.Max(r.gap)), name)
}

func median(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

func short(d time.Duration) string { return d.Round(time.Millisecond).String() }
