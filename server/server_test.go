package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport/natsbus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long a test waits for anything.
const limit = 2 * time.Minute

// running is a server that runs in the background during a test.
type running struct {
	server.Addresses
	*server.Server
}

// start runs a server until the test ends or stop is called.
func start(t *testing.T, c server.Config) running {
	t.Helper()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := server.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	r := running{s.Addresses(), s}
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// stop stops the server, and returns the result of its run.
func (r running) stop() error { return r.Stop(context.Background()) }

func refund(t *testing.T) *saga.Definition {
	t.Helper()
	d, err := saga.ParseJSON([]byte(`{"name":"refund","version":1,"steps":[{"step":{"name":"pay-back","kind":"retriable","do":{"participant":"payment","action":"pay-back"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ask calls do with a client on a new connection.
func ask(t *testing.T, r running, do func(ctx context.Context, c *client.Client)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	bus, err := r.Connect(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	do(ctx, client.New(bus))
}

// TestARestartKeepsWhatWasAcknowledged checks I2 for the whole process: start, clean stop, and
// another start on the same directory.
func TestARestartKeepsWhatWasAcknowledged(t *testing.T) {
	config := server.Config{DataDir: filepath.Join(t.TempDir(), "new", "data"), Definitions: []*saga.Definition{refund(t)}}
	first := start(t, config)
	ask(t, first, func(ctx context.Context, c *client.Client) {
		if _, err := c.Start(ctx, contract.DefinitionRef{Name: "refund"}, 1, client.ID("order-1")); err != nil {
			t.Fatal(err)
		}
	})
	if err := first.stop(); err != nil {
		t.Fatalf("an orderly end returns %v", err)
	}
	secret, err := os.ReadFile(filepath.Join(config.DataDir, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	config.Definitions = nil
	second := start(t, config)
	ask(t, second, func(ctx context.Context, c *client.Client) {
		status, err := c.Get(ctx, "order-1")
		if err != nil || status.Phase != contract.PhaseRunning {
			t.Errorf("after the restart: %+v, %v", status, err)
		}
	})
	again, err := os.ReadFile(filepath.Join(config.DataDir, "secret"))
	if err != nil || string(again) != string(secret) || len(secret) != 32 {
		t.Errorf("the secret did not outlive the restart: %v", err)
	}
	info, err := os.Stat(filepath.Join(config.DataDir, "secret"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the secret is %v, %v", info.Mode(), err)
	}
}

func TestHealthAndMetrics(t *testing.T) {
	d := start(t, server.Config{DataDir: t.TempDir(), HTTP: "127.0.0.1:0", Version: "v9"})
	for path, want := range map[string]string{
		"/livez": "ok\n", "/readyz": "ok\n", "/healthz": "ok\n", "/metrics": `amends_build_info{goversion="go`,
	} {
		code, body := fetch(t, http.MethodGet, d.HTTP+path, nil)
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.60q", path, code, body)
		}
	}
	if code, _ := fetch(t, http.MethodGet, d.HTTP+"/debug/pprof/", nil); code != http.StatusNotFound {
		t.Errorf("pprof was not asked for and answers %d", code)
	}
	if err := d.stop(); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	if c, err := net.Dial("tcp", strings.TrimPrefix(d.HTTP, "http://")); err == nil {
		_ = c.Close()
		t.Error("the port is still open after the end")
	}
}

// A malformed message becomes a dead letter and is counted in the metrics (I9).
func TestMalformedMessagesAreCounted(t *testing.T) {
	d := start(t, server.Config{DataDir: t.TempDir(), HTTP: "127.0.0.1:0"})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	bus, err := d.Connect(ctx, "stranger")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close() }()
	if _, err := bus.Conn().Request("saga.event.payment.order-42.7.pay.do.1", []byte("no header at all"), limit); err != nil {
		t.Fatal(err)
	}
	want := `amends_dead_letters_total{reason="malformed"} 1`
	for {
		_, body := fetch(t, http.MethodGet, d.HTTP+"/metrics", nil)
		if strings.Contains(body, want) {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the metrics never say %s", want)
		case <-time.After(20 * time.Millisecond):
		}
	}
	// The message is counted when it is received, and stored shortly afterwards.
	eventually(t, "it is among the dead letters", func() bool {
		letters, err := bus.ListDeadLetters(ctx, 0, 10)
		return err == nil && len(letters) == 1 && string(letters[0].Data) == "no header at all"
	})
}

// TestBackupIsForThisMachine checks who can get a backup, which holds all data. If no key is
// required, a browser, a proxy and other machines get neither a backup nor anything else, unless
// the API is open to everybody.
func TestBackupIsForThisMachine(t *testing.T) {
	for _, api := range []server.API{server.APILocal, server.APIInsecure, server.APIOff} {
		t.Run(string(api), func(t *testing.T) { backupIsForThisMachine(t, api) })
	}
}

func backupIsForThisMachine(t *testing.T, api server.API) {
	d := start(t, server.Config{DataDir: t.TempDir(), HTTP: "127.0.0.1:0", API: api, Pprof: true})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	code, body := fetch(t, http.MethodPost, d.HTTP+"/backup", nil)
	if code != http.StatusOK {
		t.Fatalf("backup: %d %s", code, body)
	}
	path := filepath.Join(t.TempDir(), "restored.db")
	if err := boltstore.Restore(t.Context(), strings.NewReader(body), path, boltstore.RestoreOptions{}); err != nil {
		t.Errorf("the copy is not whole: %v", err)
	}
	for name, change := range map[string]func(*http.Request){
		"browser":        func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"proxy":          func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") },
		"standard proxy": func(r *http.Request) { r.Header.Set("Forwarded", "for=192.0.2.1") },
		"named proxy":    func(r *http.Request) { r.Header.Set("Via", "1.1 proxy") },
		"other proxy":    func(r *http.Request) { r.Header.Set("X-Real-IP", "192.0.2.1") },
		"rebinder":       func(r *http.Request) { r.Host = "evil.example" },
	} {
		if code, _ := fetch(t, http.MethodPost, d.HTTP+"/backup", change); code != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", name, code)
		}
		for _, path := range []string{"/metrics", "/auth/whoami", "/", "/openapi.yaml", "/debug/pprof/cmdline"} {
			allowed := api != server.APILocal && !strings.HasPrefix(path, "/debug") && name != "rebinder"
			if name == "browser" {
				allowed = true // reading is safe: the page cannot see the answer
			}
			if code, _ := fetch(t, http.MethodGet, d.HTTP+path, change); (code == http.StatusForbidden) == allowed {
				t.Errorf("%s, GET %s: %d", name, path, code)
			}
		}
	}
	if code, _ := fetch(t, http.MethodGet, d.HTTP+"/backup", nil); code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d, want 405", code)
	}
}

func fetch(t *testing.T, method, url string, change func(*http.Request)) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	busy := t.TempDir()
	_ = start(t, server.Config{DataDir: busy})
	short := t.TempDir()
	if err := os.WriteFile(filepath.Join(short, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		config server.Config
		want   string
		is     error
	}{
		"nothing given":     {server.Config{}, "data dir: is missing", nil},
		"http port taken":   {server.Config{DataDir: t.TempDir(), HTTP: taken.Addr().String()}, "serve the API, health and metrics", nil},
		"data dir in use":   {server.Config{DataDir: busy}, "open the store", boltstore.ErrLocked},
		"nats port taken":   {server.Config{DataDir: t.TempDir(), NATS: server.NATS{Listen: taken.Addr().String()}}, "start the embedded NATS server", nil},
		"damaged secret":    {server.Config{DataDir: short}, "holds 1 byte instead of 32", nil},
		"missing authority": {server.Config{DataDir: t.TempDir(), NATS: server.NATS{URL: "nats://127.0.0.1:1", CAFile: "nowhere.pem"}}, "nowhere.pem", os.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			tt.config.Logger = slog.New(slog.DiscardHandler)
			_, err := server.Start(ctx, tt.config)
			if err == nil || !strings.Contains(err.Error(), tt.want) || (tt.is != nil && !errors.Is(err, tt.is)) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

// TestStopsWhileItWaitsForNATS checks that a server that waits for an absent external NATS server
// can be stopped.
func TestStopsWhileItWaitsForNATS(t *testing.T) {
	s, err := server.New(server.Config{DataDir: t.TempDir(), NATS: server.NATS{URL: "nats://127.0.0.1:1"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	select {
	case <-s.Started():
		t.Error("it takes work without a bus")
	default:
	}
}

// TestTheAPIIsNotOpen checks that the API requires no password, so it is not served beyond this
// machine by accident.
func TestTheAPIIsNotOpen(t *testing.T) {
	for _, tt := range []struct {
		http string
		api  server.API
		want string // "" for a valid configuration
	}{
		{"127.0.0.1:8080", "", ""},
		{"[::1]:8080", server.APILocal, ""},
		{"localhost:0", server.APILocal, ""},
		{"", server.APILocal, ""},
		{"0.0.0.0:8080", "", "without authentication"},
		{":8080", server.APILocal, "without authentication"},
		{"192.0.2.1:8080", server.APILocal, "without authentication"},
		{"0.0.0.0:8080", server.APIOff, ""},
		{"0.0.0.0:8080", server.APIInsecure, ""},
		{"127.0.0.1:8080", "open", "write local, off or insecure"},
	} {
		c := server.Config{DataDir: "data", HTTP: tt.http, API: tt.api}
		if err := c.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("http %s, api %q: %v, want %q", tt.http, tt.api, err, tt.want)
		}
	}
	d := start(t, server.Config{DataDir: t.TempDir(), HTTP: "127.0.0.1:0", API: server.APIOff})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for path, want := range map[string]int{"/openapi.yaml": http.StatusNotFound, "/amends.api.v1.CoordinatorService/ListDefinitions": http.StatusNotFound, "/readyz": http.StatusOK} {
		if code, _ := fetch(t, http.MethodGet, d.HTTP+path, nil); code != want {
			t.Errorf("with the API off, %s answers %d, want %d", path, code, want)
		}
	}
}

func TestValidateListsEverything(t *testing.T) {
	c := server.Config{
		HTTP: "8080", NATS: server.NATS{Listen: "here", Credentials: natsbus.Credentials{User: "u"}, CertFile: "c", Replicas: 9}, Shards: -1,
		Retention: 2, TombstoneRetention: 1, Traces: &server.Traces{Queue: -2},
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("is valid")
	}
	for _, want := range []string{
		"data dir:", `http: "8080"`, `nats listen: "here"`, "nats: credentials are given, but no URL",
		"nats: a client certificate and its key", "nats replicas: 9", "shards: -1", "otlp queue: -2", "tombstone retention:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not reported", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
	c = server.Config{DataDir: "data", Shards: 257}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "shards: 257; give at most 256") {
		t.Errorf("with 257 shards: %v", err)
	}
}
