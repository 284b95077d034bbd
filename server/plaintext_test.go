package server_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// A password is sent to a NATS server only over TLS, on this machine, or if plaintext is allowed.
// Credentials that do not transmit a secret may be sent to any server.
func TestNATSPasswordInTheClear(t *testing.T) {
	for name, tt := range map[string]struct {
		nats server.NATS
		safe bool
	}{
		"no secret":                     {server.NATS{URL: "nats://bus.example.com"}, true},
		"this machine":                  {server.NATS{URL: "nats://127.0.0.1:4222,nats://[::1]:4222,localhost:4223,nats://0.0.0.0:1", Credentials: natsbus.Credentials{User: "a", Password: "swordfish"}}, true},
		"beyond it":                     {server.NATS{URL: "nats://bus.example.com", Credentials: natsbus.Credentials{User: "a", Password: "swordfish"}}, false},
		"beyond it, without a scheme":   {server.NATS{URL: "bus.example.com:4222", Credentials: natsbus.Credentials{Token: "swordfish"}}, false},
		"one of several beyond it":      {server.NATS{URL: "nats://127.0.0.1:4222, nats://192.0.2.1:4222", Credentials: natsbus.Credentials{Token: "swordfish"}}, false},
		"of who answers requests":       {server.NATS{URL: "nats://bus.example.com", Responder: natsbus.Credentials{User: "a", Password: "swordfish"}}, false},
		"in the URL":                    {server.NATS{URL: "nats://a:swordfish@bus.example.com"}, false},
		"a token in the URL":            {server.NATS{URL: "nats://swordfish@192.0.2.1"}, false},
		"in a WebSocket's URL":          {server.NATS{URL: "ws://a:swordfish@bus.example.com"}, false},
		"over TLS":                      {server.NATS{URL: "tls://bus.example.com", Credentials: natsbus.Credentials{User: "a", Password: "swordfish"}}, true},
		"over TLS, one of several":      {server.NATS{URL: "nats://a.example.com,tls://b.example.com", Credentials: natsbus.Credentials{Token: "swordfish"}}, true}, // the client then requires TLS from all of them
		"over a WebSocket with TLS":     {server.NATS{URL: "wss://a:swordfish@bus.example.com"}, true},
		"to whom an authority vouches":  {server.NATS{URL: "nats://bus.example.com", Credentials: natsbus.Credentials{Token: "swordfish"}, CAFile: "ca.pem"}, true},
		"with a certificate":            {server.NATS{URL: "nats://bus.example.com", Credentials: natsbus.Credentials{Token: "swordfish"}, CertFile: "cert.pem", KeyFile: "key.pem"}, true},
		"where it may":                  {server.NATS{URL: "nats://bus.example.com", Credentials: natsbus.Credentials{User: "a", Password: "swordfish"}, Plaintext: true}, true},
		"an nkey, which is not sent":    {server.NATS{URL: "nats://bus.example.com", Credentials: natsbus.Credentials{NKeyFile: "user.nk"}}, true},
		"credentials, which are signed": {server.NATS{URL: "nats://bus.example.com", Credentials: natsbus.Credentials{CredentialsFile: "user.creds"}}, true},
	} {
		c := server.Config{DataDir: "data", NATS: tt.nats}
		err := c.Validate()
		if (err == nil) != tt.safe {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "without TLS") || strings.Contains(err.Error(), "swordfish")) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := tt.nats.Bus("doctor", ""); !tt.safe && err == nil {
			t.Errorf("%s: the doctor connects", name)
		}
	}
}

// log collects log output.
type log struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

// Neither the log nor an error shows the password of a URL.
func TestPasswordIsNotLogged(t *testing.T) {
	nats, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Port: -1, User: "alice", Password: "swordfish"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nats.Shutdown)
	var said log
	url := strings.Replace(nats.ClientURL(), "nats://", "nats://alice:swordfish@", 1)
	d := start(t, server.Config{
		DataDir: t.TempDir(), NATS: server.NATS{URL: url},
		Logger: slog.New(slog.NewJSONHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if d.NATS != url || !strings.Contains(said.String(), `"msg":"ready"`) {
		t.Fatalf("%s: %s", d.NATS, said.String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	for _, url := range []string{"nats://alice:swordfish@127.0.0.1:1", "nats://swordfish@127.0.0.1:%zz", "alice:swordfish@127.0.0.1:1"} {
		_, err := natsbus.Connect(ctx, natsbus.Config{URL: url})
		if err == nil || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if strings.Contains(said.String(), "swordfish") {
		t.Errorf("the password is logged: %s", said.String())
	}
}
