package natsbus_test

import (
	"net/url"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

func jetStream(t *testing.T, bus *natsbus.Bus) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(bus.Conn())
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func portOf(t *testing.T, server *embedded.Server) int {
	t.Helper()
	u, err := url.Parse(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
