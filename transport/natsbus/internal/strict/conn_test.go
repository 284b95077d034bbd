package strict

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

// pieces is a connection that delivers bytes in chunks of the given lengths.
type pieces struct {
	net.Conn
	text []byte
	cuts []int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := len(p.text)
	if len(p.cuts) > 0 {
		n, p.cuts = min(p.cuts[0], n), p.cuts[1:]
	}
	n = copy(b, p.text[:n])
	p.text = p.text[n:]
	return n, nil
}

func through(t interface{ Fatal(...any) }, text string, cuts ...int) string {
	got, err := io.ReadAll(New(&pieces{text: []byte(text), cuts: cuts}))
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

const info = "INFO {\"server_id\":\"A\"}\r\n"

// Only carriage returns within protocol lines are replaced. Headers and data pass unchanged,
// whatever they contain.
func TestClean(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{info + "PING\r\n", info + "PING\r\n"},
		{info + "MSG a\rb 1 $JS.ACK.x 4\r\n\r\r\n\r\r\nMSG a 1 2\r\nab\r\n", info + "MSG a\x01b 1 $JS.ACK.x 4\r\n\r\r\n\r\r\nMSG a 1 2\r\nab\r\n"},
		{info + "HMSG \r\ra\r 1 r 12 14\r\nNATS/1.0\r\n\r\n\ra\r\nPONG\r\n", info + "HMSG \x01\x01a\x01 1 r 12 14\r\nNATS/1.0\r\n\r\n\ra\r\nPONG\r\n"},
		{info + "MSG a 1 13\r\nMSG a\rb 1 1\r\n\r\nMSG c\rd 1 0\r\n\r\n", info + "MSG a 1 13\r\nMSG a\rb 1 1\r\n\r\nMSG c\x01d 1 0\r\n\r\n"},
		{info + "\x16\x03\x01\r\ra", info + "\x16\x03\x01\r\ra"}, // the connection switches to TLS
		{"\x16\x03\x01\r\ra", "\x16\x03\x01\r\ra"}, // TLS from the first byte
		{"HTTP/1.1 101 Switching\r\n\r\ra", "HTTP/1.1 101 Switching\r\n\r\ra"},
		{info + "MSG a 1 x\r\nb\rc", info + "MSG a 1 x\r\nb\rc"}, // not a known protocol
		{info + "-ERR 'a\rb'\r\n", info + "-ERR 'a\x01b'\r\n"},
	} {
		if got := through(t, c.text); got != c.want {
			t.Errorf("%q became %q, want %q", c.text, got, c.want)
		}
		got, err := io.ReadAll(iotest.OneByteReader(New(&pieces{text: []byte(c.text)})))
		if err != nil || string(got) != c.want {
			t.Errorf("%q became %q, %v, read byte by byte; want %q", c.text, got, err, c.want)
		}
	}
}

// Bytes of other protocols are passed on at once, whatever the last byte is. The server may wait
// for a reply before it sends more, as in a TLS handshake.
func TestNothingIsHeldOfOtherProtocols(t *testing.T) {
	for name, parts := range map[string][]string{
		"TLS from the first byte":   {"\x16\x03\x03\x00\x02\x02\r"},
		"TLS behind the first line": {info, "\x16\x03\x03\x00\x02\x02\r", "\x17\x03\x03\x00\x01\r"},
		"WebSocket":                 {"HTTP/1.1 101 Switching\r\n\r\n", "\x82\x01\r"},
		"data of a message":         {info + "MSG a 1 2\r\n\r"},
	} {
		client, server := net.Pipe()
		_ = client.SetReadDeadline(time.Now().Add(time.Minute)) // so that an error ends the test instead of a hang
		conn := New(client)
		for _, part := range parts {
			go func() { _, _ = io.WriteString(server, part) }()
			got := make([]byte, len(part))
			if n, err := io.ReadFull(conn, got); err != nil || string(got) != part {
				t.Errorf("%s: %q of %q, %v", name, got[:n], part, err)
				break
			}
		}
		_, _ = client.Close(), server.Close()
	}
}

// interrupted is a connection on which one read fails before the rest arrives.
type interrupted struct {
	pieces
	failed bool
}

func (i *interrupted) Read(b []byte) (int, error) {
	if len(i.cuts) == 0 && !i.failed {
		i.failed = true
		return 0, os.ErrDeadlineExceeded
	}
	return i.pieces.Read(b)
}

// After a failed read, a carriage return before it may still be the end of a line.
func TestHeldOverAnError(t *testing.T) {
	text := info + "PING\r\n"
	conn := New(&interrupted{pieces: pieces{text: []byte(text), cuts: []int{len(text) - 1}}})
	before, err := io.ReadAll(conn)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	after, err := io.ReadAll(conn)
	if err != nil || string(before)+string(after) != text {
		t.Errorf("%q, then %q, %v; want %q", before, after, err, text)
	}
}

// The result does not depend on the chunks in which bytes arrive and are read. Lines without a
// carriage return are not changed.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text, want bytes.Buffer
		text.WriteString(info)
		want.WriteString(info)
		for range rapid.IntRange(1, 5).Draw(t, "messages") {
			subject := rapid.StringOfN(rapid.SampledFrom([]rune("a.\r")), 1, 8, -1).Draw(t, "subject")
			data := rapid.StringOfN(rapid.SampledFrom([]rune("a \r\nMSG")), 0, 20, -1).Draw(t, "data")
			for out, s := range map[*bytes.Buffer]string{&text: subject, &want: strings.ReplaceAll(subject, "\r", "\x01")} {
				out.WriteString("MSG " + s + " 1 " + itoa(len(data)) + "\r\n" + data + "\r\n")
			}
		}
		cuts := rapid.SliceOf(rapid.IntRange(1, 9)).Draw(t, "cuts")
		if got := through(t, text.String(), cuts...); got != want.String() {
			t.Fatalf("%q became %q", text.String(), got)
		}
		conn, sizes := New(&pieces{text: text.Bytes(), cuts: cuts}), rapid.IntRange(0, 3)
		var got []byte
		for {
			b := make([]byte, sizes.Draw(t, "size"))
			n, err := conn.Read(b)
			got = append(got, b[:n]...)
			if err != nil {
				break
			}
		}
		if string(got) != want.String() {
			t.Fatalf("%q became %q, read in pieces", text.String(), got)
		}
	})
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}
