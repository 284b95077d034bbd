package wiretest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// eol represents CR LF in a file, in front of the file's own end of line.
const eol = `\r\n`

// Path returns the path of an example's file, for any package of the repository.
func Path(name string) string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "proto", "testdata", name+".txt")
}

// Message is the content of a file in proto/testdata.
type Message struct {
	Subject string
	Reply   string // may be empty
	Header  string // from NATS/1.0 to the empty line, including its CR LF
	Data    string
}

// Read parses an example's file.
func Read(name string) (Message, error) {
	text, err := os.ReadFile(Path(name))
	if err != nil {
		return Message{}, fmt.Errorf("read the bytes of example %s: %w", name, err)
	}
	return parse(string(text)), nil
}

func parse(text string) (m Message) {
	top, rest, _ := strings.Cut(text, "\n\n")
	for line := range strings.Lines(top) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "Subject":
			m.Subject = value
		case "Reply":
			m.Reply = value
		}
	}
	header, data, _ := strings.Cut(rest, "\n"+eol+"\n")
	m.Header = strings.ReplaceAll(header, eol+"\n", "\r\n")
	m.Header = strings.TrimSuffix(m.Header, eol) + "\r\n\r\n"
	m.Data = strings.ReplaceAll(data, eol+"\n", "\r\n")
	m.Data = strings.TrimSuffix(m.Data, "\n")
	if strings.HasSuffix(data, eol+"\n") {
		m.Data += "\n" // the data ends with its own CR LF
	}
	return m
}

// String returns the message in the format of the file.
func (m Message) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Subject: %s\n", m.Subject)
	if m.Reply != "" {
		fmt.Fprintf(&b, "Reply: %s\n", m.Reply)
	}
	b.WriteByte('\n')
	b.WriteString(strings.ReplaceAll(m.Header, "\r\n", eol+"\n"))
	if m.Data != "" {
		b.WriteString(strings.TrimSuffix(strings.ReplaceAll(m.Data, "\r\n", eol+"\n"), "\n") + "\n")
	}
	return b.String()
}
