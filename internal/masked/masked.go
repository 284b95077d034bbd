package masked

import (
	"io"
	"regexp"
	"strings"
)

// Mark stands where something is hidden.
const Mark = "********"

// URLs hides the user, password and query of a URL, or of several with commas between, with
// a scheme or without, right or wrong.
func URLs(list string) string {
	all := strings.Split(list, ",")
	for i, one := range all {
		if at := strings.LastIndexByte(one, '@'); at >= 0 {
			scheme := ""
			if end := strings.Index(one, "://"); end >= 0 && end < at {
				scheme = one[:end+3]
			}
			one = scheme + Mark + one[at:]
		}
		if rest, _, found := strings.Cut(one, "?"); found {
			one = rest + "?" + Mark
		}
		all[i] = one
	}
	return strings.Join(all, ",")
}

// userInfo is what stands between a scheme and an @ in a text: up to the last @ of what
// hangs together, because a password that is not encoded may have one.
var userInfo = regexp.MustCompile(`://[^\s"'<>]*@`)

// query is what stands between a scheme and the end of a query, in a text.
var query = regexp.MustCompile(`(://[^\s"'<>?]*\?)[^\s"'<>]*`)

// Text hides the users, passwords and queries of all URLs in a text.
func Text(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	text = userInfo.ReplaceAllString(text, "://"+Mark+"@")
	return query.ReplaceAllString(text, "${1}"+Mark)
}

// Error is err with what Text makes of its sentence; nil for nil.
func Error(err error) error {
	if err == nil {
		return nil
	}
	return hidden{err}
}

type hidden struct{ error }

// Error is part of error.
func (h hidden) Error() string { return Text(h.error.Error()) }

// Unwrap is part of error.
func (h hidden) Unwrap() error { return h.error }

// Writer writes to w what Text makes of each Write.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ to io.Writer }

// Write is part of io.Writer.
func (w writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.to, Text(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
