package terminal

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestTablesAreWhole: a table contains the complete text of each cell. On a terminal, cells are
// wrapped so that the table fits the screen if possible. Elsewhere, each cell is on one line.
func TestTablesAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-zé-]{0,30}`)
		cell := rapid.Map(rapid.SliceOfN(word, 0, 12), func(words []string) string { return strings.Join(words, " ") })
		columns := rapid.IntRange(1, 5).Draw(t, "columns")
		rows := rapid.SliceOfN(rapid.SliceOfN(cell, columns, columns), 1, 4).Draw(t, "rows")
		screen := rapid.SampledFrom([]int{0, 60, 80, 200}).Draw(t, "screen")
		var out bytes.Buffer
		s := &Stream{to: &out, screen: screen}
		s.Table(rows)
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if screen == 0 && len(lines) != len(rows) {
			t.Fatalf("%d rows in %d lines:\n%s", len(rows), len(lines), out.String())
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); screen > 0 && n > screen {
				t.Fatalf("a line of %d on a screen of %d:\n%s", n, screen, out.String())
			}
		}
		// Every letter of every cell appears, in the order of its column.
		letters := func(text string) string { return strings.ReplaceAll(text, " ", "") }
		if columns == 1 {
			want := ""
			for _, row := range rows {
				want += letters(row[0])
			}
			if got := letters(strings.Join(lines, "")); got != want {
				t.Fatalf("%q is shown as %q", want, got)
			}
			return
		}
		want, got := map[rune]int{}, map[rune]int{}
		for _, row := range rows {
			for _, r := range letters(strings.Join(row, "")) {
				want[r]++
			}
		}
		for _, r := range letters(strings.Join(lines, "")) {
			got[r]++
		}
		for r, n := range want {
			if got[r] != n {
				t.Fatalf("%q is there %d times, want %d:\n%s", r, got[r], n, out.String())
			}
		}
	})
}

// TestWrap: text is wrapped at spaces and within long words. No text is lost.
func TestWrap(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"order-42":                         "order-42",
		"the van broke down":               "the van|broke down",
		"the-van-broke-down":               "the-van-br|oke-down",
		"no room for order-42-of-somebody": "no room|for|order-42-o|f-somebody",
	} {
		if got := strings.Join(wrap(text, 10), "|"); got != want {
			t.Errorf("%q is wrapped as %q, want %q", text, got, want)
		}
	}
}

// TestTop: output that is redrawn has no row after its last line.
func TestTop(t *testing.T) {
	var out bytes.Buffer
	s := &Stream{to: &out, screen: 40}
	row := []string{"order-42", strings.Repeat("the van broke down ", 4)}
	s.Top([][]string{{"SAGA", "REASON"}, row, row, row}, 8)
	if n := strings.Count(out.String(), "\n"); n > 8 || n < 2 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}
