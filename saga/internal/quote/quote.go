package quote

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/amends-dev/amends/contract"
)

// Short truncates a name or other short text for a message.
func Short(s string) string { return contract.Cut(s, 80) }

// Line returns a text in one line, truncated if it is very long.
func Line(s string) string { return contract.Cut(strings.Join(strings.Fields(s), " "), 300) }

// Position returns the line and column of a byte offset in data.
func Position(data []byte, offset int64) string {
	before := data[:min(max(offset, 0), int64(len(data)))]
	line := 1 + bytes.Count(before, []byte("\n"))
	return fmt.Sprintf("line %d, column %d", line, len(before)-bytes.LastIndexByte(before, '\n'))
}
