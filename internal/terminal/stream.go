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

// Stream is stdout or stderr. Its methods may be used by several goroutines.
type Stream struct {
	file    *os.File // nil: it is no file, and so no terminal
	screen  int      // columns of the terminal; 0: it is none, and lines are as long as they are
	colours bool

	mu  sync.Mutex
	to  io.Writer
	err error
}

// New returns the stream that writes to w. It colours words and wraps tables on a terminal,
// unless NO_COLOR (no-color.org) is set or the terminal is dumb.
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

// measure reads the size of the terminal, which people change, and returns its height.
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

// Terminal reports whether somebody looks at it.
func (s *Stream) Terminal() bool { return s.screen > 0 }

// Err is the first error of writing; nil: all is written.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// write is the only way to what is below.
func (s *Stream) write(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && text != "" {
		_, s.err = s.to.Write([]byte(text))
	}
}

// Printf writes as fmt.Printf does. The format is the program's own; what stands in the
// place of the operations is escaped, line feeds included.
func (s *Stream) Printf(format string, a ...any) {
	for i := range a {
		a[i] = guard(a[i])
	}
	s.write(fmt.Sprintf(format, a...))
}

// guard returns v so that it is escaped when it is formatted.
func guard(v any) any {
	switch v.(type) {
	case coloured, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, bool:
		return v // also where the format takes a width from it
	}
	return guarded{v}
}

type guarded struct{ value any }

// Format is part of fmt.Formatter.
func (g guarded) Format(f fmt.State, operation rune) {
	_, _ = io.WriteString(f, Escape(fmt.Sprintf(fmt.FormatString(f, operation), g.value))) // fmt keeps it in memory
}

// Word is a word in its colour, such as completed in green, for Printf's %s: on a
// terminal, and if its meaning is the same everywhere.
func (s *Stream) Word(word string) fmt.Formatter { return coloured{word, s.colours} }

// JSON writes v as indented JSON.
func (s *Stream) JSON(v any) error { return s.encode(v, "  ") }

// JSONLine writes v as JSON in one line.
func (s *Stream) JSONLine(v any) error { return s.encode(v, "") }

func (s *Stream) encode(v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a terminal is no browser
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return err
	}
	s.write(escape(b.String(), true))
	return nil
}

// Lines is for text with lines of its own, which are left as they are: logs, help,
// pictures and scripts. Everything else is escaped. Each Write has to be of whole
// characters.
func (s *Stream) Lines() io.Writer { return lines{s} }

type lines struct{ *Stream }

// Write is part of io.Writer.
func (l lines) Write(p []byte) (int, error) {
	l.write(escape(string(p), true))
	return len(p), l.Err()
}

// Redraw clears the terminal and writes what draw writes to picture, which may have so
// many lines.
func (s *Stream) Redraw(draw func(picture *Stream, height int)) {
	height := 24
	if s.file != nil && s.Terminal() {
		height = s.measure()
	}
	var b bytes.Buffer
	draw(&Stream{screen: s.screen, colours: s.colours, to: &b}, height)
	s.write("\x1b[H\x1b[2J" + b.String())
}
