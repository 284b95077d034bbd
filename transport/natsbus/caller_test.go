package natsbus_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// TestCallersAreToldApart: callers are distinguished by what they cannot choose, or normally do not
// choose: connections, users with their own inbox, and accounts (I13).
func TestCallersAreToldApart(t *testing.T) {
	s := start(t, embedded.Config{})
	bus := connect(t, s, nil)
	seen := make(chan string, 1)
	serve(t, bus, func(request *transport.Envelope, reply func(*transport.Envelope)) {
		seen <- request.Caller
		reply(&transport.Envelope{Type: transport.TypeReply})
	})
	ask := func(name string, options ...nats.Option) string {
		c, err := natstest.Connect("", append(options, s.InProcess(), nats.Name(name))...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var who string
		for i := range 2 {
			if _, err := c.RequestWithContext(within(t), "saga.api.get", nil); err != nil {
				t.Fatal(err)
			}
			next := <-seen
			if i > 0 && next != who {
				t.Errorf("%s is %s and then %s", name, who, next)
			}
			who = next
		}
		return who
	}
	one, other := ask("one"), ask("other")
	if one == other || one == "" {
		t.Errorf("two connections are %q and %q", one, other)
	}
	inbox := nats.CustomInboxPrefix(natsbus.InboxPrefix("shop"))
	if one, other := ask("shop's first", inbox), ask("shop's second", inbox); one != other || one != "_INBOX_shop" {
		t.Errorf("two connections of one user are %q and %q", one, other)
	}
}

// TestCallersOfAccounts: the reply subjects of all requests from other accounts look alike. A
// header set by the server names the account, whatever headers the request has.
func TestCallersOfAccounts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(`listen: "127.0.0.1:-1"
		accounts {
			amends: { users: [{user: amends, password: x}], exports: [{service: "saga.api.>"}] }
			shop: { users: [{user: shop, password: x}], imports: [{service: {account: amends, subject: "saga.api.>"}}] }
			crm: { users: [{user: crm, password: x}], imports: [{service: {account: amends, subject: "saga.api.>"}}] }
		}`), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	options.NoLog, options.NoSigs = true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(waitLimit) {
		t.Fatal("the server does not start")
	}
	bus, err := natsbus.Connect(within(t), natsbus.Config{URL: s.ClientURL(), User: "amends", Password: "x"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	seen := make(chan string, 1)
	serve(t, bus, func(request *transport.Envelope, reply func(*transport.Envelope)) {
		seen <- request.Caller
		reply(&transport.Envelope{Type: transport.TypeReply})
	})
	for _, user := range []string{"shop", "crm"} {
		c, err := natstest.Connect(s.ClientURL(), nats.UserInfo(user, "x"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		m := &nats.Msg{Subject: "saga.api.get", Header: nats.Header{"Nats-Request-Info": {`{"acc":"somebody else"}`}}}
		if _, err := c.RequestMsgWithContext(within(t), m); err != nil {
			t.Fatal(err)
		}
		if got, want := <-seen, fmt.Sprintf("account/%s", user); got != want {
			t.Errorf("%s is %q, want %q", user, got, want)
		}
	}

	// The client library parses a header after a bare line feed. The server does not see that
	// header, and therefore does not remove it.
	for _, end := range []string{"\r\n", "\n"} {
		for _, begin := range []string{"", "x: y" + end, "x: y\n"} {
			wire, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			block := "NATS/1.0\r\n" + begin + `Nats-Request-Info: {"acc":"crm"}` + end + "z: z\r\n\r\n"
			fmt.Fprintf(wire, "CONNECT {\"user\":\"shop\",\"pass\":\"x\",\"headers\":true,\"verbose\":false}\r\nHPUB saga.api.get _INBOX.x %d %d\r\n%s\r\nPING\r\n", len(block), len(block), block)
			select {
			case got := <-seen:
				if got != "account/shop" {
					t.Errorf("with the headers %q, shop is %q", block, got)
				}
			case <-within(t).Done():
				t.Errorf("with the headers %q, nothing comes", block)
			}
			_ = wire.Close()
		}
	}
}
