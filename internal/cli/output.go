package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// outputFlag chooses between text for people and JSON for programs.
type outputFlag struct {
	Output string `short:"o" enum:"text,json" default:"text" env:"AMENDS_OUTPUT" help:"How to print: ${enum}."`
}

// print writes v as JSON, or lets text write it for people. Messages of the API
// are written as the API writes them (docs/API.md).
func (o outputFlag) print(w io.Writer, v any, text func(w io.Writer)) error {
	if o.Output != "json" {
		text(w)
		return nil
	}
	if m, ok := v.(proto.Message); ok {
		data, err := apiJSON(m)
		if err != nil {
			return err
		}
		v = data
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// apiJSON writes a message with the API's field names.
func apiJSON(m proto.Message) (json.RawMessage, error) {
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
}

// screenOf is how wide the terminal is that w writes to, in columns; 0: it is none,
// and lines are as long as they are.
func screenOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 40 {
		return 80
	}
	return width
}

// table writes rows of cells in columns. The first row is the head. On a terminal
// the widest columns are cut until the lines fit.
func table(w io.Writer, rows [][]string) { tableOf(w, rows, screenOf(w), palette{}) }

// tableOf is table with its width (0: unbounded) and colours for words it knows.
func tableOf(w io.Writer, rows [][]string, screen int, p palette) {
	widths := columns(rows, screen)
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			cell = cut(cell, widths[i])
			line.WriteString(p.word(cell))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// columns are the widths of a table's columns.
func columns(rows [][]string, screen int) []int {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	const least = 8
	for screen > 0 {
		total, widest := 2*(len(widths)-1), 0
		for i, n := range widths {
			total += n
			if n > widths[widest] {
				widest = i
			}
		}
		if total <= screen || len(widths) == 0 || widths[widest] <= least {
			break
		}
		widths[widest] = max(least, widths[widest]-(total-screen))
	}
	return widths
}

func cut(s string, limit int) string {
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return s
}

// stamp writes a time for people; "" for none.
func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Local().Format("2006-01-02 15:04:05")
}

// since writes how long ago a time was, or how long until it is; "" for none.
func since(t *timestamppb.Timestamp, now time.Time) string {
	if t == nil {
		return ""
	}
	d := now.Sub(t.AsTime())
	if d < 0 {
		return "in " + short(-d)
	}
	return short(d) + " ago"
}

// short writes a duration with two digits or so.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
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
	return cut(s, limit)
}
