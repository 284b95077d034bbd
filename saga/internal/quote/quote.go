package quote

import (
	"bytes"
	"fmt"
	"strings"
)

// Short cuts what is quoted in a message: a name, or another word.
func Short(s string) string { return cut(s, 80) }

// Line is a text in one line, cut where it is very long.
func Line(s string) string { return cut(strings.Join(strings.Fields(s), " "), 300) }

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Position is the line and column of a byte in data.
func Position(data []byte, offset int64) string {
	before := data[:min(max(offset, 0), int64(len(data)))]
	line := 1 + bytes.Count(before, []byte("\n"))
	return fmt.Sprintf("line %d, column %d", line, len(before)-bytes.LastIndexByte(before, '\n'))
}
