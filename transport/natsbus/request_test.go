package natsbus_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

func serve(t *testing.T, bus *natsbus.Bus, handle func(*transport.Envelope, func(*transport.Envelope))) {
	t.Helper()
	stop, err := bus.Respond("saga.api.>", "coordinator", handle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
}

// Malformed requests are refused with a code and a reason. They do not reach the handler.
func TestMalformedRequests(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	serve(t, bus, func(request *transport.Envelope, reply func(*transport.Envelope)) {
		reply(&transport.Envelope{Reason: "it reached the handler"})
	})
	for name, header := range map[string]nats.Header{
		"a saga id with a dot": {"ce-sagaid": {"a.b"}},
		"a saga id of 10 kB":   {"ce-sagaid": {strings.Repeat("x", 10<<10)}},
		"repeated":             {"ce-sagaid": {"a", "b"}},
		"another type":         {"ce-type": {transport.TypeCommand}},
		"percent":              {"ce-id": {"%"}},
		"structured":           {"content-type": {"application/cloudevents+json"}},
	} {
		m, err := bus.Conn().RequestMsgWithContext(within(t), &nats.Msg{Subject: "saga.api.get", Header: header})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if m.Header.Get("ce-code") != string(api.CodeInvalidArgument) || m.Header.Get("Nats-Service-Error-Code") != "invalid_argument" || m.Header.Get("ce-reason") == "" {
			t.Errorf("%s: answered %v", name, m.Header)
		}
	}
	// A request from the command line has no headers.
	m, err := bus.Conn().RequestWithContext(within(t), "saga.api.get", []byte("{}"))
	if err != nil || m.Header.Get("ce-code") != "" || m.Header.Get("ce-type") != transport.TypeReply {
		t.Errorf("a plain request was answered %v, %v", m, err)
	}
}

// A reply that is too large for the bus is replaced by an error reply.
func TestReplyTooLarge(t *testing.T) {
	bus := connect(t, start(t, embedded.Config{}), nil)
	serve(t, bus, func(_ *transport.Envelope, reply func(*transport.Envelope)) {
		reply(&transport.Envelope{Type: transport.TypeReply, Data: make([]byte, 2<<20)})
	})
	got, err := bus.Request(within(t), &transport.Envelope{Subject: "saga.api.list", Type: transport.TypeRequest})
	if err != nil || got.Code != string(api.CodeResourceExhausted) || !strings.Contains(got.Reason, "bytes") {
		t.Errorf("%+v, %v; want resource_exhausted", got, err)
	}
}

// Two processes share a queue. Each request is answered once.
func TestQueue(t *testing.T) {
	server := start(t, embedded.Config{})
	answered := make(chan int, 100)
	for i := range 2 {
		serve(t, connect(t, server, nil), func(_ *transport.Envelope, reply func(*transport.Envelope)) {
			answered <- i
			reply(&transport.Envelope{Type: transport.TypeReply})
		})
	}
	client := connect(t, server, nil)
	for range 20 {
		if _, err := client.Request(within(t), &transport.Envelope{Subject: "saga.api.get", Type: transport.TypeRequest}); err != nil {
			t.Fatal(err)
		}
	}
	if len(answered) != 20 {
		t.Errorf("answered %d times, want 20", len(answered))
	}
}
