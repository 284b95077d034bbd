package strict

import (
	"bytes"
	"net"
	"strconv"
	"time"
)

// Dialer connects like net.Dialer. It implements nats.CustomDialer.
type Dialer struct{ Timeout time.Duration }

// Dial connects to an address.
func (d Dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: d.Timeout}).Dial(network, address)
	if err != nil {
		return nil, err
	}
	return New(conn), nil
}

// New wraps a connection to a NATS server. The client never reads a carriage return within a
// protocol line. Only one goroutine may call Read at a time; nats.go complies.
func New(conn net.Conn) net.Conn { return &Conn{Conn: conn} }

// Conn is a connection that filters the bytes from a NATS server to its client.
type Conn struct {
	net.Conn
	cleaner cleaner
	held    bool    // whether a carriage return was read but not returned yet
	two     [2]byte // buffer for callers that read one byte
	rest    []byte  // part of two that was read but not returned yet
}

// Read reads from the server.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 && len(p) >= len(c.two) {
		return c.read(p)
	}
	var err error
	if len(c.rest) == 0 && len(p) > 0 { // a carriage return and the next byte do not fit
		var n int
		n, err = c.read(c.two[:])
		c.rest = c.two[:n]
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	if n > 0 {
		err = nil // the next call returns the error again
	}
	return n, err
}

// read is Read for at least two bytes.
func (c *Conn) read(p []byte) (int, error) {
	for {
		from := 0
		if c.held {
			from = copy(p, "\r")
		}
		n, err := c.Conn.Read(p[from:])
		n += from
		if c.held = c.cleaner.clean(p[:n]); c.held {
			n--
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// cleaner parses the protocol, independently of how the stream is split into chunks.
type cleaner struct {
	begun bool   // whether the first line has been parsed
	alien bool   // whether the stream is not, or no longer, the NATS protocol
	skip  int    // remaining bytes of a message's headers and data
	line  []byte // the beginning of an incomplete line
}

// maxLine bounds the buffered beginning of a line. The line of a valid message is shorter
// (max_control_line is 4,096 bytes).
const maxLine = 64 << 10

// tls is the first byte of a TLS record.
const tls = 0x16

// clean replaces carriage returns in the protocol lines of b. It returns undecided if b ends with a
// carriage return that may be the end of a line. In that case the next byte decides, so the caller
// passes the carriage return again in front of that byte.
func (c *cleaner) clean(b []byte) (undecided bool) {
	for len(b) > 0 && !c.alien {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			c.skip -= n
			b = b[n:]
			continue
		}
		if len(c.line) == 0 && (b[0] == tls || !c.begun && b[0] != 'I') {
			c.alien = true
			return false
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			if last := len(b) - 1; b[last] == '\r' {
				b, undecided = b[:last], true
			}
			blank(b)
			if c.line = append(c.line, b...); len(c.line) > maxLine {
				c.alien = true
			}
			return undecided && !c.alien
		}
		c.ended(b[:end])
		b = b[end+1:]
	}
	return false
}

// ended processes the rest of a line, without its line feed.
func (c *cleaner) ended(rest []byte) {
	if n := len(rest); n > 0 && rest[n-1] == '\r' {
		rest = rest[:n-1]
	}
	blank(rest)
	line := rest
	if len(c.line) > 0 {
		c.line = append(c.line, rest...)
		line = c.line
	}
	if !c.begun {
		c.begun = true
		c.alien = !bytes.HasPrefix(line, []byte("INFO"))
	}
	if bytes.HasPrefix(line, []byte("MSG ")) || bytes.HasPrefix(line, []byte("HMSG ")) {
		size, err := strconv.Atoi(string(line[bytes.LastIndexByte(line, ' ')+1:]))
		if err != nil || size < 0 {
			c.alien = true // the client reports the problem
			return
		}
		c.skip = size + len("\r\n")
	}
	c.line = c.line[:0]
}

func blank(line []byte) {
	for {
		at := bytes.IndexByte(line, '\r')
		if at < 0 {
			return
		}
		line[at] = 0x01
		line = line[at+1:]
	}
}
