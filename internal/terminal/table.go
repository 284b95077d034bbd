package terminal

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table writes rows in columns. The first row is the header. On a terminal, the widest columns are
// wrapped until lines fit, and statuses are coloured. Nothing is truncated.
func (s *Stream) Table(rows [][]string) { s.write(s.table(rows, 0)) }

// Top is like Table, but writes at most the given number of lines.
func (s *Stream) Top(rows [][]string, lines int) { s.write(s.table(rows, lines)) }

// table formats rows. most is the maximum number of lines, or 0 for no limit.
func (s *Stream) table(rows [][]string, most int) string {
	safe := make([][]string, len(rows))
	for i, row := range rows {
		safe[i] = make([]string, len(row))
		for k, cell := range row {
			safe[i][k] = Escape(cell)
		}
	}
	widths := columns(safe, s.screen)
	var all strings.Builder
	drawn := 0
	for _, row := range safe {
		cells, height := make([][]string, len(row)), 1
		for i, cell := range row {
			cells[i] = wrap(cell, widths[i])
			height = max(height, len(cells[i]))
		}
		if drawn += height; most > 0 && drawn > most {
			break
		}
		for n := range height {
			var line strings.Builder
			for i, lines := range cells {
				part := ""
				if n < len(lines) {
					part = lines[n]
				}
				line.WriteString(colour(part, s.colours))
				if i < len(row)-1 {
					line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(part)+2))
				}
			}
			all.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		}
	}
	return all.String()
}

// wrap breaks text into lines of at most width characters, at spaces or within words that are
// longer than a line.
func wrap(text string, width int) (lines []string) {
	left := []rune(text)
	for len(left) > width && width > 0 {
		end, next := width, width
		for i := width; i > 0; i-- {
			if left[i] == ' ' {
				end, next = i, i+1
				break
			}
		}
		lines = append(lines, string(left[:end]))
		left = left[next:]
	}
	return append(lines, string(left))
}

// columns returns the widths of a table's columns. If screen is 0, the widths are not limited.
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

// coloured is a word that gets its colour when it is formatted.
type coloured struct {
	word string
	on   bool
}

// Format implements fmt.Formatter.
func (c coloured) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, colour(Escape(c.word), c.on)) }

// colour returns a word with its colour, if one is defined.
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
