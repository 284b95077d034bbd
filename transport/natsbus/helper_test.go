package natsbus_test

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/transport"
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

// serveSubscriptions answers participants that ask for their consumer, as a coordinator does.
func serveSubscriptions(t *testing.T, owner *natsbus.Bus) {
	t.Helper()
	var subjects transport.Subjects
	stop, err := owner.Respond(subjects.Subscribe("*"), "coordinator", func(request *transport.Envelope, reply func(*transport.Envelope)) {
		var q transport.SubscribeQuery
		if err := json.Unmarshal(request.Data, &q); err != nil {
			t.Error(err)
		}
		go func() {
			answer, err := owner.Provide(context.Background(), strings.TrimPrefix(request.Subject, subjects.Subscribe("")), q)
			if err != nil {
				reply(&transport.Envelope{Code: string(transport.CodeUnavailable), Reason: err.Error()})
				return
			}
			data, err := json.Marshal(answer)
			if err != nil {
				t.Error(err)
			}
			reply(&transport.Envelope{Data: data})
		}()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
}
