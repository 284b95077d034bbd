package terminal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/amends-dev/amends/internal/terminal"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain, übergroß, 日本, 👩‍🚒": "plain, übergroß, 日本, 👩‍🚒",
		"می\u200cخواهم":            "می\u200cخواهم", // with a joiner, which the script needs
		"a\nb\r\n\tc":              `a\nb\r\n\tc`,
		"\x1b[2J\a\x00\x7f":        `\u001b[2J\u0007\u0000\u007f`,
		"\u009b31m\u0085":          `\u009b31m\u0085`,
		"nur\u202eexe.\u2066x":     `nur\u202eexe.\u2066x`,
		"\u2028\u2029\ufeff":       `\u2028\u2029\ufeff`,
		"\u200e\u200f\u061c":       `\u200e\u200f\u061c`,
		"\u200b\u2060\u00ad":       `\u200b\u2060\u00ad`,
		"\U000e0041":               `\udb40\udc41`,
		"\x9b2J":                   `\x9b2J`,
		"\xed\xa0\x80":             `\xed\xa0\x80`, // a lone surrogate
		"cut \xe2\x80":             `cut \xe2\x80`,
		"\ufffd":                   "\ufffd",
	} {
		if got := terminal.Escape(in); got != want {
			t.Errorf("%q is written %q, want %q", in, got, want)
		}
	}
}

// hostile generates text with characters that a terminal interprets.
var hostile = rapid.Custom(func(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", "order-42", "\n", "\r", "\t", "\x1b[31m", "\x00", "\x7f", "\u0085", "\u009b", "\u202e", "\u2066", "\u2028", "\ufeff", "\U000e0041", "é", "日", "\x9b", "\xff", "\xed\xa0\x80", `\`, `"`, "<", "%s",
	}), 0, 12).Draw(t, "parts"), "")
})

// printable reports whether text is UTF-8 without characters that a terminal interprets.
func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsAny(text, "\r\t\x1b\x00\x7f\u0085\u009b\u202e\u2066\u2028\ufeff\U000e0041")
}

// TestStream: whatever is formatted, the output has no control characters and only the line feeds
// of the format. JSON keeps its values.
func TestStream(t *testing.T) {
	var plain bytes.Buffer
	if err := terminal.New(&plain).JSONLine("<a> & b"); err != nil || plain.String() != "\"<a> & b\"\n" {
		t.Errorf("unnecessary escapes in JSON: %q, %v", plain.String(), err)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := hostile.Draw(t, "text")
		var out bytes.Buffer
		s := terminal.New(&out)
		s.Printf("%s|%v|%q|%20s|%-20s|%.3s|%*d|%x|%v|%v|%s\n", text, text, text, text, text, text, 7, 42, text, errors.New(text), []string{text}, s.Word(text))
		if got := out.String(); !printable(got) || strings.Count(got, "\n") != 1 {
			t.Fatalf("Printf writes %q", got)
		}
		out.Reset()
		s.Table([][]string{{text, "B"}, {"a", text}})
		s.Top([][]string{{text, text}}, 1)
		if got := out.String(); !printable(got) || strings.Count(got, "\n") != 3 {
			t.Fatalf("Table writes %q", got)
		}
		out.Reset()
		if _, err := s.Lines().Write([]byte(text)); err != nil || !printable(strings.ReplaceAll(out.String(), "\t", "")) || strings.Count(out.String(), "\n") != strings.Count(text, "\n") {
			t.Fatalf("Lines writes %q, %v", out.String(), err)
		}
		for _, encode := range []func(any) error{s.JSON, s.JSONLine} {
			out.Reset()
			valid := strings.ToValidUTF8(text, "")
			var got map[string]string
			if err := encode(map[string]string{"text": valid}); err != nil || !printable(out.String()) {
				t.Fatalf("JSON writes %q, %v", out.String(), err)
			}
			if err := json.Unmarshal(out.Bytes(), &got); err != nil || got["text"] != valid {
				t.Fatalf("%q is read as %q, %v", valid, got, err)
			}
		}
	})
}

// full is a writer that accepts a limited number of bytes.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

var errFull = errors.New("no space left")

// TestStreamOnAFullDisk: the first write error is kept, and nothing is written after it.
func TestStreamOnAFullDisk(t *testing.T) {
	f := &full{room: 8}
	s := terminal.New(f)
	s.Printf("12345\n")
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	s.Printf("12345\n")
	f.room = 100
	s.Table([][]string{{"more"}})
	if !errors.Is(s.Err(), errFull) || f.room != 100 {
		t.Errorf("%v, %d", s.Err(), f.room)
	}
}
