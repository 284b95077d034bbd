package audit

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// tableLimit is the largest number of orders that Print lists one by one. With more orders it lists
// only the scenarios.
const tableLimit = 60

// Print writes the report in readable form. mark highlights a text as good or bad, and may return
// it unchanged.
func (r *Report) Print(w io.Writer, mark func(text string, good bool) string) {
	fmt.Fprintf(w, "AUDIT, from the books of the four services\n\n")
	if len(r.Orders) <= tableLimit {
		r.printOrders(w)
	}
	r.printScenarios(w)
	r.printConservation(w)
	for _, law := range r.Laws {
		good := len(law.Violations) == 0
		sign := "✓"
		if !good {
			sign = "✗"
		}
		fmt.Fprintf(w, "  %s %s (%d checked)\n", mark(sign, good), law.Name, law.Checked)
		for i, v := range law.Violations {
			if i == 10 {
				fmt.Fprintf(w, "      … and %d more\n", len(law.Violations)-i)
				break
			}
			fmt.Fprintf(w, "      %s\n", v)
		}
	}
	fmt.Fprintf(w, "\n%s\n", mark(r.Verdict(), r.OK()))
}

// Verdict returns the result in one line.
func (r *Report) Verdict() string {
	counts := fmt.Sprintf("%s: %d completed, %d compensated, %d open. Undos that overtook their do: %d.",
		plural(len(r.Orders), "order"), r.Count("confirmed"), r.Count("cancelled"), len(r.Orders)-r.Count("confirmed")-r.Count("cancelled"), r.Tombstones)
	if r.OK() {
		return "THE BOOKS BALANCE. " + counts
	}
	return fmt.Sprintf("THE BOOKS DO NOT BALANCE: %s. %s", plural(r.Violations(), "violation"), counts)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// table writes columns; the first left columns are left-aligned, the others right-aligned.
func table(w io.Writer, left int, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i < left {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	fmt.Fprintln(w)
}

func (r *Report) printOrders(w io.Writer) {
	rows := [][]string{
		{"", "", "", "", "", "stock", "", "money", "", "effects", ""},
		{"order", "scenario", "status", "saga", "parcel", "out", "back", "taken", "back", "keys", "each"},
	}
	for i := range r.Orders {
		o := &r.Orders[i]
		rows = append(rows, []string{
			o.ID, dash(o.Scenario), dash(o.Status), string(outcome(o.Status)), dash(strings.Join(o.Parcels, " ")),
			number(o.Out), number(o.Back), cents(o.Taken), cents(o.Returned), number(int64(o.Keys)), number(int64(o.Most)),
		})
	}
	table(w, 5, rows)
}

func (r *Report) printScenarios(w io.Writer) {
	type count struct{ confirmed, cancelled, open int64 }
	var names []string
	counts := map[string]*count{}
	for i := range r.Orders {
		o := &r.Orders[i]
		c := counts[o.Scenario]
		if c == nil {
			c = &count{}
			counts[o.Scenario] = c
			names = append(names, o.Scenario)
		}
		switch o.Status {
		case "confirmed":
			c.confirmed++
		case "cancelled":
			c.cancelled++
		default:
			c.open++
		}
	}
	slices.Sort(names)
	rows := [][]string{{"scenario", "orders", "completed", "compensated", "open"}}
	for _, name := range names {
		c := counts[name]
		rows = append(rows, []string{dash(name), number(c.confirmed + c.cancelled + c.open), number(c.confirmed), number(c.cancelled), number(c.open)})
	}
	table(w, 1, rows)
}

func (r *Report) printConservation(w io.Writer) {
	rows := [][]string{{"product", "first day", "on hand", "shipped", "held"}}
	for _, s := range r.Stock {
		rows = append(rows, []string{s.SKU, number(s.Initial), number(s.OnHand), number(s.Shipped), number(s.Held)})
	}
	table(w, 1, rows)
	rows = [][]string{{"card", "first day", "now", "taken", "back"}}
	for _, m := range r.Money {
		rows = append(rows, []string{m.Card, cents(m.Initial), cents(m.Balance), cents(m.Taken), cents(m.Returned)})
	}
	table(w, 1, rows)
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func number(n int64) string {
	if n == 0 {
		return "–"
	}
	return strings.TrimSuffix(sum(100*n), ".00")
}

func cents(n int64) string {
	if n == 0 {
		return "–"
	}
	return sum(n)
}
