package cli

import (
	"io"
	"os"
)

// palette colours words whose meaning is the same everywhere. The zero value
// colours nothing.
type palette struct{ on bool }

// paletteOf colours on a terminal, unless NO_COLOR (no-color.org) is set or the
// terminal is dumb.
func paletteOf(w io.Writer) palette {
	return palette{screenOf(w) > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

var colours = map[string]string{
	"completed": "32", "done": "32", "ok": "32",
	"running": "36", "doing": "36",
	"compensating": "33", "undoing": "33", "unknown": "33", "paused": "33", "warning": "33",
	"compensated": "35", "undone": "35", "rejected": "35", "skipped": "35",
	"parked": "1;31", "failed": "31", "problem": "1;31",
}

// word colours a cell that is one of the known words.
func (p palette) word(s string) string {
	if code := colours[s]; p.on && code != "" {
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	return s
}
