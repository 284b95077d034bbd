package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits on the nesting of JSON objects and arrays (I10, I12), in levels. MaxDataDepth applies to
// data; MaxDepth applies to a message, including the levels around its data. Some parsers in other
// languages stop at 128 levels.
const (
	MaxDepth     = MaxDataDepth + 8
	MaxDataDepth = 120
)

// JSONError says where and why data is not JSON that all parsers read alike. It quotes no data.
type JSONError struct {
	At    int    // byte offset, from 0
	Why   string // what is wrong there and how to fix it
	Twice bool   // whether the only problem is a duplicate name in an object
}

func (e *JSONError) Error() string { return fmt.Sprintf("at byte %d %s", e.At+1, e.Why) }

// CheckJSON returns a *JSONError unless data is JSON that all parsers read alike and that can be
// displayed unchanged: RFC 8259 in UTF-8, without unpaired surrogates or duplicate names in an
// object, and with at most MaxDataDepth levels of nesting. That is I-JSON (RFC 7493) without its
// limits on numbers. It is used to check the data of every start, answer and resolve operation.
func CheckJSON(data []byte) error { return CheckJSONDepth(data, MaxDataDepth) }

// CheckJSONDepth does the same as CheckJSON, but with most instead of MaxDataDepth as the limit on
// nesting.
func CheckJSONDepth(data []byte, most int) error {
	if !utf8.Valid(data) {
		return &JSONError{At: invalidAt(data), Why: "it is not UTF-8; write the text in UTF-8, or give a content type that is not JSON"}
	}
	if !json.Valid(data) {
		return syntaxError(data, most)
	}
	return scanJSON(data, most)
}

// IsJSON reports whether a content type means JSON. The empty content type does.
func IsJSON(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.TrimSpace(strings.ToLower(mediaType))
	return mediaType == "" || mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// EncodeJSON does the same as json.Marshal, but keeps JSON values in v unchanged. In such values,
// json.Marshal would escape each <, >, & and two line separators with six bytes.
func EncodeJSON(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || !htmlEscapes(data) {
		return data, err // the usual case; allocates less
	}
	return encodeUnescaped(v)
}

// htmlEscapes reports whether data contains one of the HTML escapes of json.Marshal.
func htmlEscapes(data []byte) bool {
	for _, escape := range [...]string{`\u003c`, `\u003e`, `\u0026`, `\u2028`, `\u2029`} {
		if bytes.Contains(data, []byte(escape)) {
			return true
		}
	}
	return false
}

// invalidAt returns the offset of the first byte that is not valid UTF-8.
func invalidAt(data []byte) int {
	at := 0
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

// syntaxError describes the problem of data that encoding/json considers invalid, without quoting
// the data.
func syntaxError(data []byte, most int) error {
	var whole json.RawMessage
	syntax, _ := errors.AsType[*json.SyntaxError](json.Unmarshal(data, &whole))
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return &JSONError{Why: "there is no JSON; write null for an empty value"}
	case syntax == nil:
		return &JSONError{Why: "there is invalid JSON"}
	case strings.Contains(syntax.Error(), "max depth"):
		return tooDeep(int(syntax.Offset)-1, most)
	case int(syntax.Offset) >= len(data) && strings.Contains(syntax.Error(), "unexpected end"):
		return &JSONError{At: len(data), Why: "the JSON ends in the middle"}
	}
	at := max(int(syntax.Offset)-1, 0)
	for at > 0 && at < len(data) && !utf8.RuneStart(data[at]) {
		at-- // since Go 1.27, the offset is that of the character's last byte
	}
	return &JSONError{At: at, Why: "there is an unexpected character"}
}

func tooDeep(at, most int) error {
	return &JSONError{At: at, Why: fmt.Sprintf("it is nested deeper than %d; make it flatter, or send it as a string", most)}
}

// jsonScope is an open object or array.
type jsonScope struct {
	object bool
	first  int             // index of its first name in names
	known  map[string]bool // set of its names, if there are many
}

// manyNames is the number of names from which the names of an object are kept as a set.
const manyNames = 16

// scanJSON looks for problems in valid JSON that encoding/json accepts and CheckJSON must refuse.
func scanJSON(data []byte, most int) error {
	var open []jsonScope
	var names [][]byte // names of all open objects
	name := false      // whether the next string is a name
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case '{', '[':
			if len(open) == most {
				return tooDeep(i, most)
			}
			open = append(open, jsonScope{object: c == '{', first: len(names)})
			name = c == '{'
		case '}', ']':
			names = names[:open[len(open)-1].first]
			open = open[:len(open)-1]
			name = false
		case ',':
			name = len(open) > 0 && open[len(open)-1].object
		case ':':
			name = false
		case '"':
			end, escaped, err := stringEnd(data, i)
			if err != nil {
				return err
			}
			if name {
				scope, text := &open[len(open)-1], plainName(data[i:end+1], escaped)
				if scope.has(names[scope.first:], text) {
					return &JSONError{At: i, Why: "a name is repeated; give each name only once per object", Twice: true}
				}
				names = append(names, text)
			}
			i = end
		}
	}
	return nil
}

// has reports whether the object already contains a name.
func (s *jsonScope) has(names [][]byte, name []byte) bool {
	if s.known == nil && len(names) == manyNames {
		s.known = make(map[string]bool, 2*manyNames)
		for _, other := range names {
			s.known[string(other)] = true
		}
	}
	if s.known != nil {
		twice := s.known[string(name)]
		s.known[string(name)] = true
		return twice
	}
	for _, other := range names {
		if bytes.Equal(other, name) {
			return true
		}
	}
	return false
}

// plainName returns a name without its quotes and escapes.
func plainName(quoted []byte, escaped bool) []byte {
	if escaped {
		return unescaped(quoted)
	}
	return quoted[1 : len(quoted)-1]
}

func unescaped(quoted []byte) []byte {
	var plain string
	if json.Unmarshal(quoted, &plain) != nil { // impossible, because the JSON is valid
		return quoted
	}
	return []byte(plain)
}

// stringEnd returns the index of the quote that closes the string beginning at from.
func stringEnd(data []byte, from int) (end int, escaped bool, err error) {
	for i := from + 1; ; i++ {
		switch data[i] {
		case '"':
			return i, escaped, nil
		case '\\':
			escaped = true
			i++
			if data[i] != 'u' {
				continue
			}
			unit := hex4(data[i+1:])
			if unit >= 0xd800 && unit < 0xdc00 && data[i+5] == '\\' && data[i+6] == 'u' {
				if low := hex4(data[i+7:]); low >= 0xdc00 && low < 0xe000 {
					i += 10
					continue
				}
			}
			if unit >= 0xd800 && unit < 0xe000 {
				return 0, false, &JSONError{At: i - 1, Why: "an escape is half of a surrogate pair; escape both halves, or write the character itself"}
			}
			i += 4
		}
	}
}

// hex4 parses four hexadecimal digits.
func hex4(digits []byte) (n int) {
	for _, c := range digits[:4] {
		n <<= 4
		switch {
		case c <= '9':
			n |= int(c - '0')
		default:
			n |= int(c|0x20-'a') + 10
		}
	}
	return n
}
