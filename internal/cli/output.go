package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/amends-dev/amends/transport"
)

// outputFlag chooses between text for people and JSON for programs.
type outputFlag struct {
	Output string `short:"o" enum:"text,json" default:"text" env:"AMENDS_OUTPUT" help:"How to print: ${enum}."`
}

// print writes v as JSON, or lets text write it for people.
func (o outputFlag) print(w io.Writer, v any, text func(w io.Writer)) error {
	if o.Output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	text(w)
	return nil
}

// table writes rows of cells in columns. The first row is the head.
func table(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	_ = t.Flush()
}

// stamp writes a time for people; "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// oneLine keeps a sentence of somebody else's on one line, without control
// characters, and short enough for a table.
func oneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return s
}

// printStatus writes where a saga stands.
func printStatus(w io.Writer, s *transport.Status) {
	rows := [][]string{
		{"saga", string(s.ID)},
		{"definition", s.Definition.String()},
		{"phase", string(s.Phase)},
		{"revision", fmt.Sprint(s.Revision)},
		{"started", stamp(s.Started)},
		{"updated", stamp(s.Updated)},
	}
	if !s.Ended.IsZero() {
		rows = append(rows, []string{"ended", fmt.Sprintf("%s (after %s)", stamp(s.Ended), s.Ended.Sub(s.Started).Round(time.Millisecond))})
	}
	if s.Reason != "" {
		rows = append(rows, []string{"reason", oneLine(s.Reason, 200)})
	}
	if s.Existed {
		rows = append(rows, []string{"note", "was started before, with the same input"})
	}
	if s.Removed {
		rows = append(rows, []string{"note", "ended so long ago that only this much is known"})
	}
	if len(s.Legal) > 0 {
		rows = append(rows, []string{"you may", strings.Join(s.Legal, ", ")})
	}
	if len(s.Undo) > 0 {
		waves := make([]string, len(s.Undo))
		for i, wave := range s.Undo {
			waves[i] = strings.Join(wave, " + ")
		}
		rows = append(rows, []string{"an undo would", strings.Join(waves, ", then ")})
	}
	table(w, rows)
	if len(s.Steps) == 0 {
		return
	}
	_, _ = fmt.Fprintln(w)
	steps := [][]string{{"STEP", "KIND", "STATUS", "ATTEMPT", "NEXT", "REASON"}}
	for _, step := range s.Steps {
		attempt, next := "", stamp(step.Due)
		if step.Attempt > 0 {
			attempt = fmt.Sprint(step.Attempt)
		}
		if !step.Parked.IsZero() {
			next = "parked since " + stamp(step.Parked)
		}
		steps = append(steps, []string{string(step.Name), step.Kind, step.Status, attempt, next, oneLine(step.Reason, 80)})
	}
	table(w, steps)
}
