package terminal

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table writes rows of cells in columns. The first row is the head. On a terminal the
// widest columns are cut until the lines fit, and words that mean the same everywhere
// have colours.
func (s *Stream) Table(rows [][]string) { s.table(rows, s.screen) }

// Whole is Table that cuts nothing.
func (s *Stream) Whole(rows [][]string) { s.table(rows, 0) }

func (s *Stream) table(rows [][]string, screen int) {
	safe := make([][]string, len(rows))
	for i, row := range rows {
		safe[i] = make([]string, len(row))
		for k, cell := range row {
			safe[i][k] = Escape(cell)
		}
	}
	widths := columns(safe, screen)
	var all strings.Builder
	for _, row := range safe {
		var line strings.Builder
		for i, cell := range row {
			cell = Cut(cell, widths[i])
			line.WriteString(colour(cell, s.colours))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		all.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	s.write(all.String())
}

// columns are the widths of a table's columns; screen 0: as wide as they are.
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

// Cut shortens text to so many characters, with an ellipsis.
func Cut(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// coloured is a word that has a colour when it is printed.
type coloured struct {
	word string
	on   bool
}

// Format is part of fmt.Formatter.
func (c coloured) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, colour(Escape(c.word), c.on)) }

// colour is a word in its colour, if it has one.
func colour(word string, on bool) string {
	if code := colours[word]; on && code != "" {
		return "\x1b[" + code + "m" + word + "\x1b[0m"
	}
	return word
}

var colours = map[string]string{
	"completed": "32", "done": "32", "ok": "32",
	"running": "36", "doing": "36",
	"compensating": "33", "undoing": "33", "unknown": "33", "paused": "33", "warning": "33",
	"compensated": "35", "undone": "35", "rejected": "35", "skipped": "35",
	"parked": "1;31", "failed": "31", "problem": "1;31",
}
