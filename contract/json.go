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
	At  int    // the offset in bytes, from 0
	Why string // what is wrong there, and what would be right
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
		return &JSONError{invalidAt(data), "it is not UTF-8; write the text in UTF-8, or give a content type that is not JSON"}
	}
	if !json.Valid(data) {
		return syntaxError(data, most)
	}
	s := jsonScan{data: data, most: most}
	return s.run()
}

// IsJSON reports whether a content type, "" included, says that data is JSON.
func IsJSON(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.TrimSpace(strings.ToLower(mediaType))
	return mediaType == "" || mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// EncodeJSON is json.Marshal, but leaves < > and & as they are: escaped, each of them
// takes six bytes.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
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
		return &JSONError{0, "there is no JSON; the least is null"}
	case syntax == nil:
		return &JSONError{0, "something is no JSON"}
	case strings.Contains(syntax.Error(), "max depth"):
		return tooDeep(int(syntax.Offset)-1, most)
	case int(syntax.Offset) >= len(data) && strings.Contains(syntax.Error(), "unexpected end"):
		return &JSONError{len(data), "the JSON ends in the middle"}
	}
	return &JSONError{max(int(syntax.Offset)-1, 0), "stands what does not belong there"}
}

func tooDeep(at, most int) error {
	return &JSONError{at, fmt.Sprintf("it is nested deeper than %d; make it flatter, or send it as a string", most)}
}

// jsonScan looks at JSON that encoding/json calls valid for what it lets pass.
type jsonScan struct {
	data  []byte
	most  int
	open  []jsonScope
	names [][]byte // of all open objects
}

// jsonScope is an open object or list.
type jsonScope struct {
	object bool
	first  int                 // of its names
	known  map[string]struct{} // its names, if they are many
}

// manyNames is from how many names on an object has a map of them.
const manyNames = 16

func (s *jsonScan) run() error {
	name := false // the next string is a name
	for i := 0; i < len(s.data); i++ {
		switch c := s.data[i]; c {
		case '{', '[':
			if len(s.open) == s.most {
				return tooDeep(i, s.most)
			}
			s.open = append(s.open, jsonScope{object: c == '{', first: len(s.names)})
			name = c == '{'
		case '}', ']':
			top := len(s.open) - 1
			s.names = s.names[:s.open[top].first]
			s.open = s.open[:top]
			name = false
		case ',':
			name = s.open[len(s.open)-1].object
		case ':':
			name = false
		case '"':
			end, escaped, err := s.text(i)
			if err != nil {
				return err
			}
			if name && !s.add(s.data[i:end+1], escaped) {
				return &JSONError{i, "a name begins that its object has already; give each name once"}
			}
			i = end
		}
	}
	return nil
}

// text finds the closing quote of the string that begins at a quote.
func (s *jsonScan) text(from int) (end int, escaped bool, err error) {
	for i := from + 1; ; i++ {
		switch s.data[i] {
		case '"':
			return i, escaped, nil
		case '\\':
			escaped = true
			i++
			if s.data[i] != 'u' {
				continue
			}
			unit := hex4(s.data[i+1:])
			if unit >= 0xd800 && unit < 0xdc00 && s.data[i+5] == '\\' && s.data[i+6] == 'u' {
				if low := hex4(s.data[i+7:]); low >= 0xdc00 && low < 0xe000 {
					i += 10
					continue
				}
			}
			if unit >= 0xd800 && unit < 0xe000 {
				return 0, false, &JSONError{i - 1, "an escape is half of a surrogate pair; escape both halves, or write the character itself"}
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

// add remembers a name, with its quotes, of the innermost object; false: it has it already.
func (s *jsonScan) add(quoted []byte, escaped bool) bool {
	name := quoted[1 : len(quoted)-1]
	if escaped {
		var plain string
		if json.Unmarshal(quoted, &plain) == nil { // which it is
			name = []byte(plain)
		}
	}
	scope := &s.open[len(s.open)-1]
	if scope.known != nil {
		_, twice := scope.known[string(name)]
		scope.known[string(name)] = struct{}{}
		return !twice
	}
	all := s.names[scope.first:]
	for _, other := range all {
		if bytes.Equal(other, name) {
			return false
		}
	}
	s.names = append(s.names, name)
	if len(all)+1 == manyNames {
		scope.known = make(map[string]struct{}, 2*manyNames)
		for _, other := range s.names[scope.first:] {
			scope.known[string(other)] = struct{}{}
		}
	}
	return true
}
