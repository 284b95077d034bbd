package natsbus

import "strings"

// cut shortens received text for a message.
func cut(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
