package schema

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amends-dev/amends/saga/internal/quote"
)

// maxMismatches bounds the mismatches that Accepts reports at once.
const maxMismatches = 10

// Accepts returns nil if data is JSON that matches the schema. Otherwise it returns an error with
// one line for each mismatch. The error contains no values of the data, and has [] in place of the
// keys of maps. Fields that the schema does not have are accepted. A nil schema accepts everything,
// even if it is not JSON.
func (s *Schema) Accepts(data []byte) error {
	if s == nil {
		return nil
	}
	raw, err := ReadJSON(data)
	if err != nil {
		return err
	}
	var m mismatches
	m.compare(s, raw, "")
	return errors.Join(m...)
}

// mismatches collects the positions at which data does not match its schema.
type mismatches []error

func (m *mismatches) add(path, what string) {
	text := whole(path) + " " + what
	same := func(err error) bool { return err.Error() == text } // different keys of a map have the same text
	if len(*m) < maxMismatches && !slices.ContainsFunc(*m, same) {
		*m = append(*m, errors.New(text))
	}
}

func (m *mismatches) compare(s *Schema, raw any, path string) {
	if s.IsAny() || raw == nil && (s.Optional || s.CanBeEmpty()) {
		return
	}
	switch v := raw.(type) {
	case map[string]any:
		switch s.Kind {
		case Object:
			m.fields(s, v, path)
			return
		case Map:
			for _, key := range sortedKeys(v) {
				m.compare(s.Items, v[key], path+"[]")
			}
			return
		}
	case []any:
		if s.Kind == List {
			for i, item := range v {
				m.compare(s.Items, item, fmt.Sprintf("%s[%d]", path, i))
			}
			return
		}
	case json.Number:
		if s.Kind == Int || s.Kind == Double {
			m.number(s.Kind, v, path)
			return
		}
	case string:
		if m.text(s.Kind, v, path) {
			return
		}
	case bool:
		if s.Kind == Bool {
			return
		}
	}
	m.add(path, fmt.Sprintf("is %s, want %s", KindOf(raw), s.Word()))
}

func (m *mismatches) fields(s *Schema, raw map[string]any, path string) {
	for _, name := range sortedKeys(s.Fields) {
		field, own := s.Fields[name], strings.TrimPrefix(path+"."+name, ".")
		v, present := raw[name]
		switch {
		case present:
			m.compare(field, v, own)
		case !field.Optional:
			m.add(own, "is missing")
		}
	}
}

func (m *mismatches) number(kind Kind, v json.Number, path string) {
	if kind == Double {
		if _, err := strconv.ParseFloat(string(v), 64); err != nil {
			m.add(path, OutOfRange)
		}
	} else if _, err := strconv.ParseInt(string(v), 10, 64); err != nil {
		m.add(path, NotInteger)
	}
}

// text checks a string. It reports whether the schema wants a string at all.
func (m *mismatches) text(kind Kind, v, path string) bool {
	switch kind {
	case String:
	case Time:
		if !isTime(v) {
			m.add(path, "is a string, but not a time such as 2006-01-02T15:04:05Z")
		}
	case Bytes:
		// Strict, and without line breaks: DecodeString would ignore line breaks and nonzero
		// trailing bits.
		if _, err := base64.StdEncoding.Strict().DecodeString(v); err != nil || strings.ContainsAny(v, "\r\n") {
			m.add(path, "is a string, but not in base64")
		}
	default:
		return false
	}
	return true
}

// isTime reports whether a string is a time as in RFC 3339. time.Parse also accepts one-digit
// hours, commas and zones of 24 hours, which parsers in other languages refuse.
func isTime(v string) bool {
	if _, err := time.Parse(time.RFC3339, v); err != nil {
		return false
	}
	if v[len("2006-01-02T15")] != ':' || strings.Contains(v, ",") {
		return false
	}
	zone := v[len(v)-len("07:00"):]
	return v[len(v)-1] == 'Z' || zone[:2] <= "23" && zone[3:] <= "59"
}

// whole returns the path, or "the data" for the root.
func whole(path string) string {
	if path == "" {
		return "the data"
	}
	return quote.Short(path)
}
