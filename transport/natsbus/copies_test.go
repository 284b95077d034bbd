package natsbus_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
)

// cluster starts three servers with JetStream and returns their URL.
func cluster(t *testing.T) (url string) {
	t.Helper()
	var routes string
	var listeners []net.Listener
	for range 3 { // find free ports
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		routes += ",nats-route://" + l.Addr().String()
	}
	var servers []*server.Server
	for i, l := range listeners {
		options := &server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port},
			Routes:  server.RoutesFromStr(routes[1:]),
		}
		_ = l.Close()
		s, err := server.NewServer(options)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		servers = append(servers, s)
	}
	for _, s := range servers {
		if !s.ReadyForConnections(waitLimit) {
			t.Fatal("a server does not start")
		}
	}
	eventually(t, "a leader of JetStream", func() bool { return slices.ContainsFunc(servers, (*server.Server).JetStreamIsLeader) })
	return servers[0].ClientURL()
}

// A bus waits while a cluster starts, has just lost a server, or has no leader for a stream. It
// does not wait after errors that only an operator can fix.
func TestWaitedFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  jetstream.APIError
		wait bool
	}{
		{jetstream.APIError{Code: 503, ErrorCode: 10008, Description: "JetStream system temporarily unavailable"}, true},
		{jetstream.APIError{Code: 400, ErrorCode: 10005, Description: "no suitable peers for placement, peer offline"}, true},
		{jetstream.APIError{Code: 400, ErrorCode: 10005, Description: "no suitable peers for placement, insufficient storage"}, false},
		{jetstream.APIError{Code: 503, ErrorCode: jetstream.JSErrCodeJetStreamNotEnabled, Description: "JetStream not enabled"}, false},
		{jetstream.APIError{Code: 500, ErrorCode: 10074, Description: "replicas > 1 not supported in non-clustered mode"}, false},
	} {
		if wait := natsbus.NotReady(fmt.Errorf("stream X: %w", &tt.err)); wait != tt.wait {
			t.Errorf("%s: waited for: %t", tt.err.Description, wait)
		}
	}
}

// Fencing depends on the actual number of replicas of the stream of commands. An administrator may
// add replicas, and coordinators may be configured differently. With replicas, the server would
// refuse nearly all pipelined messages.
func TestStreamHasMoreCopies(t *testing.T) {
	t.Parallel()
	bus, err := natsbus.Connect(within(t), natsbus.Config{
		URL: cluster(t), Provision: natsbus.ProvisionCreate, QueueBytes: 1 << 20, LifecycleBytes: 1 << 20, DeadBytes: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	claims := bus.Claims()
	at, err := claims.Write(within(t), claimOf("a", "one", 1), ownership.Position{})
	if err != nil || !claims.Fences() {
		t.Fatalf("the claim is written: %v, fences: %t", err, claims.Fences())
	}
	give := func(copies int) {
		t.Helper()
		js := jetStream(t, bus)
		stream, err := js.Stream(within(t), "SAGA_COMMANDS")
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		config.Replicas = copies
		if _, err := js.UpdateStream(within(t), config); err != nil {
			t.Fatal(err)
		}
		if err := bus.Look(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	send := func() {
		t.Helper()
		var batch []transport.Envelope
		for i := range 100 {
			batch = append(batch, command(fmt.Sprint("c", i)))
		}
		for _, err := range bus.Publish(within(t), batch) {
			if errors.Is(err, transport.ErrFenced) {
				t.Fatalf("a command of the owner is refused: %v", err)
			}
		}
	}
	give(3)
	if claims.Fences() {
		t.Error("a stream with copies fences")
	}
	send()
	if at, err = claims.Write(within(t), claimOf("b", "two", 2), at); err != nil || claims.Fences() {
		t.Errorf("the claim is taken over: %v, fences: %t", err, claims.Fences())
	}
	give(1)
	for !claims.Fences() {
		if err := claims.Confirm(within(t), at); err != nil {
			t.Fatal(err)
		}
	}
	insist(t, bus, command("d"))
}
