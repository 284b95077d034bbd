package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/internal/cli"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/server"
)

// certificate writes a self-signed certificate for this machine.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name, "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// trusting returns an HTTP client that trusts one certificate.
func trusting(t *testing.T, cert, name string) *http.Client {
	t.Helper()
	data, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(data)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// clientTLS returns the TLS configuration of a trusting client.
func clientTLS(c *http.Client) *tls.Config {
	return c.Transport.(*http.Transport).TLSClientConfig.Clone() //nolint:forcetypeassert // trusting made it
}

// keyed adds a token to every request.
type keyed struct {
	next http.RoundTripper
	key  string
}

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+k.key)
	return k.next.RoundTrip(r)
}

// TestEveryDoorAsksForAKey checks that a server with tokens and TLS refuses requests without a
// token on every interface. It records the token's name with each decision.
func TestEveryDoorAsksForAKey(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "sagas.example.com")
	secret, line, err := access.NewToken("olga", access.RoleOperator, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tokens")
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, server.Config{
		DataDir: filepath.Join(dir, "data"), HTTP: "0.0.0.0:0", TLSCert: cert, TLSKey: key, Access: server.Access{Tokens: file}, Pprof: true,
		Definitions: []*saga.Definition{parcel(t)},
	})
	base := "https://127.0.0.1:" + d.HTTP[strings.LastIndex(d.HTTP, ":")+1:]
	stranger := trusting(t, cert, "sagas.example.com")
	routes := map[string]string{
		"/metrics": "GET", "/backup": "POST", "/debug/pprof/": "GET", "/debug/pprof/heap": "GET", "/debug/pprof/cmdline": "GET", "/openapi.yaml": "GET",
		"/auth/whoami": "GET", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": "POST", "/": "GET", "/anything": "GET",
	}
	methods := apiv1.File_amends_api_v1_api_proto.Services().ByName("CoordinatorService").Methods()
	for i := range methods.Len() {
		routes["/"+apiv1connect.CoordinatorServiceName+"/"+string(methods.Get(i).Name())] = "POST"
	}
	for path, method := range routes {
		for _, wrong := range []string{"", access.TokenPrefix + strings.Repeat("A", 43)} {
			if got := knock(t, keyed{stranger.Transport, wrong}, method, base+path); got != http.StatusUnauthorized {
				t.Errorf("%s %s with the key %q: %d", method, path, wrong, got)
			}
		}
	}
	if got := knock(t, stranger.Transport, "GET", base+"/readyz"); got != http.StatusOK {
		t.Errorf("/readyz: %d", got)
	}
	olga := &http.Client{Transport: keyed{stranger.Transport, secret}}
	if got := knock(t, olga.Transport, "POST", base+"/backup"); got != http.StatusForbidden {
		t.Errorf("an operator gets a backup: %d", got)
	}
	decideAs(t, apiv1connect.NewCoordinatorServiceClient(olga, base), "olga")
	decideAs(t, apiv1connect.NewCoordinatorServiceClient(olga, base, connect.WithGRPC()), "olga")
}

// parcel returns a definition whose sagas can be cancelled, because no service answers.
func parcel(t *testing.T) *saga.Definition {
	t.Helper()
	d, err := saga.ParseJSON([]byte(`{"name":"parcel","version":1,"steps":[{"step":{"name":"book","kind":"compensable",
		"do":{"participant":"courier","action":"book"},"undo":{"participant":"courier","action":"unbook"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// decideAs starts a saga and cancels it, naming another operator.
func decideAs(t *testing.T, c apiv1connect.CoordinatorServiceClient, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	started, err := c.Start(ctx, connect.NewRequest(&apiv1.StartRequest{Definition: &apiv1.DefinitionRef{Name: "parcel"}, Input: "{}"}))
	if err != nil {
		t.Fatal(err)
	}
	id := started.Msg.Saga.Id
	if _, err := c.Operate(ctx, connect.NewRequest(&apiv1.OperateRequest{Id: id, Decision: &apiv1.Decision{Operation: "cancel", By: "somebody else", Reason: "a test"}})); err != nil {
		t.Fatal(err)
	}
	history, err := c.History(ctx, connect.NewRequest(&apiv1.HistoryRequest{Id: id}))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range history.Msg.Events {
		if e.Operation == "cancel" {
			if e.By != name {
				t.Errorf("the history says %q, want %q", e.By, name)
			}
			return
		}
	}
	t.Error("the history has no decision")
}

func knock(t *testing.T, transport http.RoundTripper, method, address string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// TestHostNames checks that a web page cannot use DNS rebinding to reach an open API. Probes may
// name any host.
func TestHostNames(t *testing.T) {
	d := start(t, server.Config{DataDir: t.TempDir(), HTTP: "0.0.0.0:0", API: server.APIInsecure, Access: server.Access{Hosts: []string{"coordinator"}}})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	base := "http://127.0.0.1:" + d.HTTP[strings.LastIndex(d.HTTP, ":")+1:]
	for host, want := range map[string]int{
		"coordinator:8080": http.StatusOK, "localhost:8080": http.StatusOK, "127.0.0.1": http.StatusOK, "0.0.0.0:8080": http.StatusOK, "[::]:8080": http.StatusOK,
		"evil.example": http.StatusForbidden, "coordinator.evil.example": http.StatusForbidden,
	} {
		change := func(r *http.Request) { r.Host = host }
		for _, path := range []string{"/", "/metrics", "/auth/whoami", "/openapi.yaml"} {
			if code, _ := fetch(t, http.MethodGet, base+path, change); code != want {
				t.Errorf("%s as %s: %d, want %d", path, host, code, want)
			}
		}
		for _, path := range []string{"/livez", "/readyz", "/healthz"} {
			if code, body := fetch(t, http.MethodGet, base+path, change); code != http.StatusOK || (body == "") != (want == http.StatusForbidden) {
				t.Errorf("%s as %s: %d %q", path, host, code, body)
			}
		}
	}
}

// other returns a certificate that the server does not use.
func other(t *testing.T) string {
	t.Helper()
	cert, _ := certificate(t, t.TempDir(), "first.example.com")
	return cert
}

// TestTLS checks that old protocol versions are refused, and a renewed certificate is used without
// a restart.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir, "first.example.com")
	d := start(t, server.Config{DataDir: filepath.Join(dir, "data"), HTTP: "127.0.0.1:0", TLSCert: cert, TLSKey: key})
	if got := knock(t, trusting(t, cert, "first.example.com").Transport, "GET", d.HTTP+"/readyz"); got != http.StatusOK {
		t.Errorf("with the first certificate: %d", got)
	}
	address := strings.TrimPrefix(d.HTTP, "https://")
	for trusted, want := range map[string]int{cert: cli.ExitOK, other(t): cli.ExitNotReachable} { // by the listen address, as in a container
		var out bytes.Buffer
		if code := cli.Run(t.Context(), []string{"healthcheck", "--http", address, "--tls-cert", trusted}, strings.NewReader(""), &out, &out); code != want {
			t.Errorf("healthcheck: exit %d, want %d: %s", code, want, &out)
		}
	}
	old := &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true} // the test checks that the server refuses it
	if c, err := (&tls.Dialer{Config: old}).DialContext(t.Context(), "tcp", address); err == nil {
		_ = c.Close()
		t.Error("TLS 1.1 is accepted")
	}
	certificate(t, dir, "second.example.com")
	deadline := time.Now().Add(limit)
	for {
		c, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", address) // only the certificate is checked
		if err != nil {
			t.Fatal(err)
		}
		shown := c.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName //nolint:forcetypeassert // the dialer's promise
		_ = c.Close()
		if shown == "second.example.com" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server still uses the certificate of %s", shown)
		}
	}
}

// TestAccessConfiguration checks that configurations that would be open or unencrypted are refused,
// with a suggested fix.
func TestAccessConfiguration(t *testing.T) {
	asks := server.Access{Tokens: "tokens"}
	for name, tt := range map[string]struct {
		config server.Config
		want   string // "" for a valid configuration
	}{
		"loopback":               {server.Config{HTTP: "127.0.0.1:8080"}, ""},
		"beyond":                 {server.Config{HTTP: "0.0.0.0:8080"}, "configure authentication (tokens: FILE"},
		"beyond, TLS alone":      {server.Config{HTTP: "0.0.0.0:8080", TLSCert: "c", TLSKey: "k"}, "without authentication"},
		"beyond, keys":           {server.Config{HTTP: "0.0.0.0:8080", Access: asks}, "tokens would be sent without TLS: configure a certificate (tls-cert, tls-key)"},
		"beyond, keys, TLS":      {server.Config{HTTP: "0.0.0.0:8080", Access: asks, TLSCert: "c", TLSKey: "k"}, ""},
		"beyond, keys, proxy":    {server.Config{HTTP: "0.0.0.0:8080", Access: asks, Plaintext: true}, ""},
		"beyond, said":           {server.Config{HTTP: "0.0.0.0:8080", API: server.APIInsecure}, ""},
		"open and keys":          {server.Config{HTTP: "0.0.0.0:8080", API: server.APIInsecure, Access: asks, Plaintext: true}, "remove one of the two"},
		"half a certificate":     {server.Config{HTTP: "127.0.0.1:8080", TLSCert: "c"}, "or neither"},
		"certificate for nobody": {server.Config{TLSCert: "c", TLSKey: "k"}, "without an http address"},
		"provider in the clear":  {server.Config{HTTP: "127.0.0.1:8080", Access: server.Access{OIDC: server.OIDC{Issuer: "http://login.example.com", ClientID: "a"}}}, "use https"},
		"profiles beyond":        {server.Config{HTTP: "0.0.0.0:8080", API: server.APIInsecure, Pprof: true}, "pprof: profiles would be readable"},
		"profiles, API off":      {server.Config{HTTP: "0.0.0.0:8080", API: server.APIOff, Pprof: true}, "pprof: profiles would be readable"},
		"profiles, keys":         {server.Config{HTTP: "0.0.0.0:8080", Access: asks, Plaintext: true, Pprof: true}, ""},
		"profiles here":          {server.Config{HTTP: "127.0.0.1:8080", Pprof: true}, ""},
		"names for nobody":       {server.Config{HTTP: "127.0.0.1:8080", Access: server.Access{Hosts: []string{"sagas.example.com"}}}, "do not use these names"},
		"public for nobody":      {server.Config{HTTP: "127.0.0.1:8080", Access: server.Access{PublicURL: "https://sagas.example.com"}}, "do not use these names"},
		"names, keys":            {server.Config{HTTP: "127.0.0.1:8080", Access: server.Access{Tokens: "tokens", Hosts: []string{"sagas.example.com"}}}, ""},
		"names, open":            {server.Config{HTTP: "0.0.0.0:8080", API: server.APIInsecure, Access: server.Access{Hosts: []string{"coordinator"}}}, ""},
		"names, API off":         {server.Config{HTTP: "127.0.0.1:8080", API: server.APIOff, Access: server.Access{Hosts: []string{"coordinator"}}}, ""},
		"a name with a port":     {server.Config{HTTP: "0.0.0.0:8080", API: server.APIInsecure, Access: server.Access{Hosts: []string{"coordinator:80"}}}, "without a port"},
		"provider of nobody":     {server.Config{HTTP: "127.0.0.1:8080", Access: server.Access{OIDC: server.OIDC{Issuer: "https://login.example.com"}}}, "client id: is missing"},
		"a role that is none":    {server.Config{HTTP: "127.0.0.1:8080", Access: server.Access{OIDC: server.OIDC{Issuer: "https://login.example.com", ClientID: "a", Roles: map[string]server.Role{"staff": "root"}}}}, `"root" is not a role; write viewer`},
		"roles":                  {server.Config{HTTP: "127.0.0.1:8080", Access: server.Access{OIDC: server.OIDC{Issuer: "https://login.example.com", ClientID: "a", Roles: map[string]server.Role{"staff": server.RoleViewer}}}}, ""},
	} {
		tt.config.DataDir = t.TempDir()
		err := tt.config.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	_, err := server.Start(t.Context(), server.Config{DataDir: t.TempDir(), HTTP: "127.0.0.1:0", Access: server.Access{Tokens: "missing"}, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "coordinator token create") {
		t.Errorf("without its token file: %v", err)
	}
}
