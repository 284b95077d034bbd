package proto_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amends-dev/amends/internal/wiretest"
)

var update = flag.Bool("update", false, "rewrite proto/testdata and the examples in docs/WIRE.md")

const page = "../docs/WIRE.md"

// TestExamples: the bytes in testdata are those of the examples, by an encoder
// that follows docs/WIRE.md and shares nothing with a carrier (I8).
func TestExamples(t *testing.T) {
	files := map[string]bool{filepath.Base(wiretest.VectorsPath()): true}
	for _, example := range wiretest.Examples() {
		want := write(example)
		path := wiretest.Path(example.Name)
		files[example.Name+".txt"] = true
		if *update {
			if err := os.WriteFile(path, []byte(want.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := wiretest.Read(example.Name)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: the file holds\n%q\nand the example is\n%q", path, got, want)
		}
	}
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !files[entry.Name()] {
			t.Errorf("testdata/%s belongs to no example: remove it", entry.Name())
		}
	}
}

// write follows docs/WIRE.md: attributes as headers, sorted by name as Go's client
// sorts them when it publishes, percent-encoded where the name begins with ce-.
func write(e wiretest.Example) wiretest.Message {
	var lines []string
	add := func(name, value string) { lines = append(lines, name+": "+value+"\r\n") }
	e.Envelope.Attributes(func(name, value string) {
		switch {
		case e.OneWay && name != "ce-type": // the shortest answer leaves out all that may be left out
		case strings.HasPrefix(name, "ce-"):
			add(name, encoded(value))
		default:
			add(name, value)
		}
	})
	if e.Envelope.DedupID != "" {
		add("Nats-Msg-Id", e.Envelope.DedupID)
	}
	for name, value := range e.Extra {
		add(name, value)
	}
	if !e.InBundle {
		slices.Sort(lines)
	}
	header, data := "NATS/1.0\r\n"+strings.Join(lines, "")+"\r\n", string(e.Envelope.Data)
	for _, carried := range e.Bundle {
		m := write(wiretest.Example{Envelope: carried, InBundle: true})
		data += fmt.Sprintf("HPUB %s %d %d\r\n%s%s\r\n", m.Subject, len(m.Header), len(m.Header)+len(m.Data), m.Header, m.Data)
	}
	return wiretest.Message{Subject: e.Envelope.Subject, Reply: e.Reply, Header: header, Data: data}
}

// encoded is CloudEvents' percent-encoding of header values.
func encoded(value string) string {
	var b strings.Builder
	for _, c := range []byte(value) {
		if c <= ' ' || c == '"' || c == '%' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// TestPage: docs/WIRE.md shows every example, byte for byte.
func TestPage(t *testing.T) {
	source, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for _, example := range wiretest.Examples() {
		message, err := wiretest.Read(example.Name)
		if err != nil {
			t.Fatal(err)
		}
		begin := fmt.Sprintf("<!-- proto/testdata/%s.txt -->\n```text\n", example.Name)
		before, rest, found := strings.Cut(text, begin)
		shown, after, closed := strings.Cut(rest, "```\n")
		if !found || !closed {
			t.Errorf("%s does not show example %s: it needs a line\n%s and a closing fence", page, example.Name, begin)
			continue
		}
		if shown == message.String() {
			continue
		}
		if !*update {
			t.Errorf("%s shows another %s than testdata; rewrite it with: go test ./proto -update\n%s", page, example.Name, shown)
		}
		text = before + begin + message.String() + "```\n" + after
	}
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
