package pull_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/natstest"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
	"github.com/amends-dev/amends/transport/natsbus/internal/pull"
)

// TestRequestsAreNotInStep: the server serves pull requests in the order of their arrival. If
// several processes renewed their requests at the same time, that order would never change, and a
// message that one process returns would always go back to that process.
func TestRequestsAreNotInStep(t *testing.T) {
	server, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	nc, err := natstest.Connect(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	requests, err := nc.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.STREAM.process")
	if err != nil {
		t.Fatal(err)
	}
	const expiry, heartbeat = time.Hour, 25 * time.Minute // the server refuses an expiry below two heartbeats
	seen := map[time.Duration]bool{}
	for range 10 {
		p, err := pull.New(pull.Config{Conn: nc, Stream: "STREAM", Consumer: "process", Prefetch: 1, Expiry: expiry, Heartbeat: heartbeat})
		if err != nil {
			t.Fatal(err)
		}
		m, err := requests.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
		var request struct{ Expires time.Duration }
		if err := json.Unmarshal(m.Data, &request); err != nil {
			t.Fatal(err)
		}
		if request.Expires > expiry || request.Expires < 2*heartbeat {
			t.Errorf("a request expires after %s, want %s to %s", request.Expires, 2*heartbeat, expiry)
		}
		seen[request.Expires] = true
	}
	if len(seen) < 2 {
		t.Errorf("all of ten requests expire after the same time: %v", seen)
	}
}
