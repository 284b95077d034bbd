package quote

import (
	"bytes"
	"fmt"
	"strings"
)

// Short truncates a name or other short text for a message.
func Short(s string) string { return cut(s, 80) }

// Line returns a text in one line, truncated if it is very long.
func Line(s string) string { return cut(strings.Join(strings.Fields(s), " "), 300) }

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Position returns the line and column of a byte offset in data.
func Position(data []byte, offset int64) string {
	before := data[:min(max(offset, 0), int64(len(data)))]
	line := 1 + bytes.Count(before, []byte("\n"))
	return fmt.Sprintf("line %d, column %d", line, len(before)-bytes.LastIndexByte(before, '\n'))
}
