package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// How deep objects and lists of JSON may stand in one another (I10, I12): in data, and in
// any message with what the message puts round the data. Readers of other languages give
// up at 128.
const (
	MaxDepth     = MaxDataDepth + 8
	MaxDataDepth = 120
)

// JSONError says why data is not JSON that every reader understands alike. It holds
// nothing of the data.
type JSONError struct {
	At    int    // the offset in bytes, from 0
	Why   string // what is wrong there, and what would be right
	Twice bool   // it is only that an object has a name twice
}

func (e *JSONError) Error() string { return fmt.Sprintf("at byte %d %s", e.At+1, e.Why) }

// CheckJSON returns a *JSONError unless data is JSON that every reader understands alike
// and that can be shown as it is: RFC 8259 in UTF-8, no escape of half a surrogate pair,
// no name twice in one object, at most MaxDataDepth objects and lists in one another
// (I-JSON, RFC 7493, but for the range of numbers). What starts a saga, answers a command
// or resolves a step is checked by it, whichever way it comes.
func CheckJSON(data []byte) error { return CheckJSONDepth(data, MaxDataDepth) }

// CheckJSONDepth is CheckJSON with another bound on the depth.
func CheckJSONDepth(data []byte, most int) error {
	if !utf8.Valid(data) {
		return &JSONError{At: invalidAt(data), Why: "it is not UTF-8; write the text in UTF-8, or give a content type that is not JSON"}
	}
	if !json.Valid(data) {
		return syntaxError(data, most)
	}
	return scanJSON(data, most)
}

// IsJSON reports whether a content type, "" included, says that data is JSON.
func IsJSON(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.TrimSpace(strings.ToLower(mediaType))
	return mediaType == "" || mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// EncodeJSON is json.Marshal, but leaves JSON that v holds as it is: json.Marshal escapes
// < > & and two line separators in it, and each of them takes six bytes then.
func EncodeJSON(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || !htmlEscapes(data) {
		return data, err // as mostly, and with less memory
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// htmlEscapes reports whether data has an escape of those that json.Marshal makes for HTML.
func htmlEscapes(data []byte) bool {
	for _, escape := range [...]string{`\u003c`, `\u003e`, `\u0026`, `\u2028`, `\u2029`} {
		if bytes.Contains(data, []byte(escape)) {
			return true
		}
	}
	return false
}

// invalidAt is where data stops to be UTF-8.
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

// syntaxError says what is wrong with data that encoding/json calls invalid, in words that
// hold nothing of it.
func syntaxError(data []byte, most int) error {
	var whole json.RawMessage
	syntax, _ := errors.AsType[*json.SyntaxError](json.Unmarshal(data, &whole))
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return &JSONError{Why: "there is no JSON; the least is null"}
	case syntax == nil:
		return &JSONError{Why: "something is no JSON"}
	case strings.Contains(syntax.Error(), "max depth"):
		return tooDeep(int(syntax.Offset)-1, most)
	case int(syntax.Offset) >= len(data) && strings.Contains(syntax.Error(), "unexpected end"):
		return &JSONError{At: len(data), Why: "the JSON ends in the middle"}
	}
	return &JSONError{At: max(int(syntax.Offset)-1, 0), Why: "stands what does not belong there"}
}

func tooDeep(at, most int) error {
	return &JSONError{At: at, Why: fmt.Sprintf("it is nested deeper than %d; make it flatter, or send it as a string", most)}
}

// jsonScope is an open object or list.
type jsonScope struct {
	object bool
	first  int             // of its names
	known  map[string]bool // its names, if they are many
}

// manyNames is from how many names on an object has a map of them.
const manyNames = 16

// scanJSON looks at JSON that encoding/json calls valid for what it lets pass.
func scanJSON(data []byte, most int) error {
	var roomOpen [8]jsonScope // most data needs no more, and nothing is allocated
	var roomNames [24][]byte
	open, names := roomOpen[:0], roomNames[:0] // names of all open objects
	name := false                              // the next string is a name
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
					return &JSONError{At: i, Why: "a name begins that its object has already; give each name once", Twice: true}
				}
				names = append(names, text)
			}
			i = end
		}
	}
	return nil
}

// has reports whether a name is among those of the object.
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

// plainName is a name without its quotes and escapes.
func plainName(quoted []byte, escaped bool) []byte {
	if escaped {
		return unescaped(quoted)
	}
	return quoted[1 : len(quoted)-1]
}

func unescaped(quoted []byte) []byte {
	var plain string
	if json.Unmarshal(quoted, &plain) != nil { // which cannot be
		return quoted
	}
	return []byte(plain)
}

// stringEnd finds the closing quote of the string that begins at a quote.
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

// hex4 reads four hexadecimal digits.
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
