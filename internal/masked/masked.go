package masked

import (
	"io"
	"regexp"
	"strings"
)

// Mark replaces masked text.
const Mark = "********"

// URLs masks users, passwords and queries in a URL or a comma-separated list of URLs. The URLs may
// be invalid or lack a scheme.
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

// userInfo matches from a scheme to the last @ of a word, because an unencoded password may contain
// an @.
var userInfo = regexp.MustCompile(`://[^\s"'<>]*@`)

// query matches the query of a URL in a text.
var query = regexp.MustCompile(`(://[^\s"'<>?]*\?)[^\s"'<>]*`)

// Text masks the users, passwords and queries of all URLs in a text.
func Text(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	text = userInfo.ReplaceAllString(text, "://"+Mark+"@")
	return query.ReplaceAllString(text, "${1}"+Mark)
}

// Error returns err with its text masked by Text. It returns nil for nil.
func Error(err error) error {
	if err == nil {
		return nil
	}
	return hidden{err}
}

type hidden struct{ error }

// Error implements error.
func (h hidden) Error() string { return Text(h.error.Error()) }

// Unwrap returns the original error.
func (h hidden) Unwrap() error { return h.error }

// Writer returns a writer that masks each Write with Text.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ to io.Writer }

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.to, Text(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
