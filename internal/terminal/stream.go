package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// Stream is stdout or stderr. It is safe for concurrent use.
type Stream struct {
	file    *os.File // nil if the stream is not a file, and therefore not a terminal
	screen  int      // columns of the terminal; 0 if the stream is not a terminal, so that lines are not wrapped
	colours bool

	mu  sync.Mutex
	to  io.Writer
	err error
}

// New returns a stream that writes to w. On a terminal, the stream wraps tables. It also colours
// words, unless NO_COLOR (no-color.org) is set or the terminal is dumb.
func New(w io.Writer) *Stream {
	s := &Stream{to: w}
	s.file, _ = w.(*os.File)
	if s.file == nil || !term.IsTerminal(int(s.file.Fd())) {
		return s
	}
	s.measure()
	s.colours = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

// measure updates the width of the terminal, which may change, and returns the height.
func (s *Stream) measure() (height int) {
	width, height, err := term.GetSize(int(s.file.Fd()))
	if err != nil || width < 40 {
		width = 80
	}
	if err != nil {
		height = 24
	}
	s.screen = width
	return height
}

// Terminal reports whether the stream is a terminal.
func (s *Stream) Terminal() bool { return s.screen > 0 }

// Err returns the first write error.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// write is the only code that writes to the underlying writer.
func (s *Stream) write(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && text != "" {
		_, s.err = s.to.Write([]byte(text))
	}
}

// Printf is like fmt.Printf, but escapes its arguments, including their line feeds.
func (s *Stream) Printf(format string, a ...any) {
	for i := range a {
		a[i] = guard(a[i])
	}
	s.write(fmt.Sprintf(format, a...))
}

// guard wraps v so that its formatted text is escaped.
func guard(v any) any {
	switch v.(type) {
	case coloured, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, bool:
		return v // it may be used as a width
	}
	return guarded{v}
}

type guarded struct{ value any }

// Format implements fmt.Formatter.
func (g guarded) Format(f fmt.State, operation rune) {
	_, _ = io.WriteString(f, Escape(fmt.Sprintf(fmt.FormatString(f, operation), g.value))) // fmt writes to memory, which does not fail
}

// Word returns a word for Printf's %s. On a terminal, a status is coloured, such as completed in
// green.
func (s *Stream) Word(word string) fmt.Formatter { return coloured{word, s.colours} }

// JSON writes v as indented JSON.
func (s *Stream) JSON(v any) error { return s.encode(v, "  ") }

// JSONLine writes v as JSON in one line.
func (s *Stream) JSONLine(v any) error { return s.encode(v, "") }

func (s *Stream) encode(v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the output is not HTML
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return err
	}
	s.write(escape(b.String(), true))
	return nil
}

// Lines returns a writer for text with its own lines, such as logs, help, diagrams and scripts. The
// writer keeps line feeds and tabs, and escapes all other unsafe characters. Each Write must
// contain complete characters.
func (s *Stream) Lines() io.Writer { return lines{s} }

type lines struct{ *Stream }

// Write implements io.Writer.
func (l lines) Write(p []byte) (int, error) {
	l.write(escape(string(p), true))
	return len(p), l.Err()
}

// Redraw clears the terminal and writes the output of draw. draw writes to picture, which has space
// for height lines.
func (s *Stream) Redraw(draw func(picture *Stream, height int)) {
	height := 24
	if s.file != nil && s.Terminal() {
		height = s.measure()
	}
	var b bytes.Buffer
	draw(&Stream{screen: s.screen, colours: s.colours, to: &b}, height)
	s.write("\x1b[H\x1b[2J" + b.String())
}
