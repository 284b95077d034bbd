package natsbus_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// cutAt forwards connections to a server. It closes the first connection on which a client sends
// the word, before the server receives the word.
func cutAt(t *testing.T, server, word string) (url string, cut *atomic.Bool) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	cut = new(atomic.Bool)
	forward := func(client net.Conn) {
		defer client.Close()
		upstream, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		defer upstream.Close()
		go func() {
			defer client.Close()
			_, _ = io.Copy(client, upstream)
		}()
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if err != nil || bytes.Contains(buffer[:n], []byte(word)) && !cut.Swap(true) {
				return
			}
			if _, err := upstream.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(client)
		}
	}()
	return "nats://" + listener.Addr().String(), cut
}

// Subscribe does not fail if the connection is lost meanwhile. Otherwise the participant would be
// missing until somebody restarts it.
func TestSubscribeAcrossALostConnection(t *testing.T) {
	server := start(t, embedded.Config{Port: -1})
	u, err := url.Parse(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	through, cut := cutAt(t, u.Host, "CONSUMER.CREATE")
	bus := connect(t, server, func(c *natsbus.Config) { c.URL = through })
	source := subscribe(t, bus, inventory())
	if !cut.Load() {
		t.Fatal("the connection was not cut")
	}
	insist(t, bus, command("a"))
	await(t, source, "a")
}
