package access_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

// ways maps one path of each kind to its method; health lists the paths of probes.
var (
	ways = map[string]string{
		"/": "GET", "/metrics": "GET", "/auth/whoami": "GET", "/debug/pprof/heap": "GET", "/backup": "POST", "/new": "POST", start: "POST", get: "POST",
	}
	health = map[string]string{"/livez": "GET", "/readyz": "GET", "/healthz": "GET", "/grpc.health.v1.Health/Check": "POST"}
)

// guarded returns a guard, called without a network, in front of handlers that answer "in".
func guarded(t *testing.T, c access.Config) http.Handler {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	a, err := access.New(c)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, pattern := range []string{
		"GET /livez", "GET /readyz", "GET /healthz", "/grpc.health.v1.Health/", "GET /metrics", "POST /backup", "GET /debug/pprof/", "/", "POST /new",
		"/" + apiv1connect.CoordinatorServiceName + "/",
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "in") })
	}
	a.Mount(mux)
	return a.Guard(mux)
}

// arrives sends a request like that of a program on this machine, modified by change.
func arrives(t *testing.T, h http.Handler, method, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	to := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 8080}
	r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, to), method, path, nil)
	r.Host, r.RemoteAddr = "127.0.0.1:8080", "127.0.0.1:40000"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// tokens returns a token file with one token, of an admin.
func tokens(t *testing.T) (file, secret string) {
	t.Helper()
	secret, line, err := access.NewToken("ada", access.RoleAdmin, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), tokenFile)
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, secret
}

// TestHosts checks that a request for an unknown host is refused even with a valid token, because
// it may come from a web page after DNS rebinding. Probes get only the status.
func TestHosts(t *testing.T) {
	file, secret := tokens(t)
	h := guarded(t, access.Config{Tokens: file, Hosts: []string{"Coordinator", "192.0.2.77", "[2001:db8::1]"}, PublicURL: "https://sagas.example.com:8443/base"})
	for host, ours := range map[string]bool{
		"localhost": true, "LOCALHOST:8080": true, "localhost.": true, "127.0.0.1:8080": true, "127.8.9.1": true, "[::1]:8080": true, "[::1]": true,
		"coordinator:8080": true, "coordinator": true, "192.0.2.77:80": true, "[2001:DB8:0::1]:80": true, "sagas.example.com": true, "sagas.example.com:8443": true,
		"192.0.2.9:8080": true, "[::ffff:192.0.2.9]": true, // the address at which the request arrived, as in a pod
		"evil.example": false, "evil.example:8080": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "coordinator.evil.example": false,
		"sagas.example.com.evil.example": false, "xsagas.example.com": false, "example.com": false, "192.0.2.10": false, "0.0.0.0:8080": false, "[::]:8080": false,
		"": false, ":8080": false, ".": false, "127.1": false, "2130706433": false, "0x7f.0.0.1": false, "localhost:80:80": false,
	} {
		change := func(r *http.Request) {
			r.Host = host
			r.Header.Set("Authorization", "Bearer "+secret)
		}
		for path, method := range ways {
			w := arrives(t, h, method, path, change)
			if want := map[bool]int{true: http.StatusOK, false: http.StatusForbidden}[ours]; w.Code != want {
				t.Errorf("%s %s as %q: %d, want %d: %s", method, path, host, w.Code, want, w.Body)
			}
			if !ours && !strings.Contains(w.Body.String(), "--http-hosts") {
				t.Errorf("%s as %q: the error does not say what is allowed: %s", path, host, w.Body)
			}
		}
		for path, method := range health {
			w := arrives(t, h, method, path, change)
			if w.Code != http.StatusOK {
				t.Errorf("%s as %q: %d", path, host, w.Code)
			}
			if told := w.Body.Len() > 0; told != ours && method == http.MethodGet {
				t.Errorf("%s as %q: the body is %q", path, host, w.Body)
			}
		}
	}
}

// TestHostsOfTheCertificate checks that the names in the certificate are allowed hosts.
func TestHostsOfTheCertificate(t *testing.T) {
	file, secret := tokens(t)
	h := guarded(t, access.Config{Tokens: file, Certificate: certificate(t, "sagas.example.com", "*.sagas.example.org")})
	for host, want := range map[string]int{
		"sagas.example.com:8443": http.StatusOK, "a.sagas.example.org": http.StatusOK, "a.b.sagas.example.org": http.StatusForbidden, "evil.example": http.StatusForbidden,
	} {
		w := arrives(t, h, http.MethodGet, "/", func(r *http.Request) {
			r.Host = host
			r.Header.Set("Authorization", "Bearer "+secret)
		})
		if w.Code != want {
			t.Errorf("as %s: %d, want %d", host, w.Code, want)
		}
	}
}

// certificate returns a self-signed certificate for names.
func certificate(t *testing.T, names ...string) *access.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "both.pem")
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})...)
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := access.LoadCertificate(file, file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// passedOn lists changes that make a request look as if it came through a proxy.
var passedOn = map[string]func(*http.Request){
	"Forwarded":         header("Forwarded", "for=192.0.2.1"),
	"X-Forwarded-For":   header("X-Forwarded-For", "192.0.2.1"),
	"an empty one":      header("X-Forwarded-For", ""),
	"X-Forwarded-Host":  header("X-Forwarded-Host", "sagas.example.com"),
	"X-Forwarded-Proto": header("x-forwarded-proto", "https"),
	"X-Real-Ip":         header("X-Real-IP", "192.0.2.1"),
	"Via":               header("Via", "1.1 proxy"),
	"CF-Connecting-IP":  header("CF-Connecting-IP", "192.0.2.1"),
	"True-Client-IP":    header("True-Client-IP", "192.0.2.1"),
	"Envoy":             header("X-Envoy-External-Address", "192.0.2.1"),
	"HTTP/1.0":          func(r *http.Request) { r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.0", 1, 0 },
	"another machine":   func(r *http.Request) { r.RemoteAddr = "192.0.2.1:40000" },
	"its address here":  func(r *http.Request) { r.Host = "192.0.2.9:8080" },
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// TestOnlyThisMachine checks that without authentication, requests through a proxy on this machine
// are refused. With Config.Open they are accepted, except for backups, profiles and unknown routes.
func TestOnlyThisMachine(t *testing.T) {
	local, open := guarded(t, access.Config{}), guarded(t, access.Config{Open: true})
	never := map[string]bool{"/backup": true, "/debug/pprof/heap": true, "/new": true}
	for path, method := range ways {
		for name, h := range map[string]http.Handler{"local": local, "open": open} {
			if w := arrives(t, h, method, path, nil); w.Code != http.StatusOK {
				t.Errorf("%s, a program on this machine, %s: %d: %s", name, path, w.Code, w.Body)
			}
		}
		for name, change := range passedOn {
			w := arrives(t, local, method, path, change)
			if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "--tokens") {
				t.Errorf("local, %s, %s: %d: %s", name, path, w.Code, w.Body)
			}
			want := http.StatusOK
			if never[path] {
				want = http.StatusForbidden
			}
			if w := arrives(t, open, method, path, change); w.Code != want {
				t.Errorf("open, %s, %s: %d, want %d: %s", name, path, w.Code, want, w.Body)
			}
		}
	}
	for path, method := range health {
		for name, change := range passedOn {
			if w := arrives(t, local, method, path, change); w.Code != http.StatusOK {
				t.Errorf("%s, %s: %d", name, path, w.Code)
			}
		}
	}
	file, secret := tokens(t)
	asks := guarded(t, access.Config{Tokens: file})
	for name, change := range passedOn {
		w := arrives(t, asks, http.MethodPost, "/backup", func(r *http.Request) { change(r); r.Header.Set("Authorization", "Bearer "+secret) })
		if w.Code != http.StatusOK {
			t.Errorf("with a key, %s: %d: %s", name, w.Code, w.Body)
		}
	}
}

// TestHostNamesAreChecked checks that Validate refuses invalid host names.
func TestHostNamesAreChecked(t *testing.T) {
	for name, right := range map[string]bool{
		"coordinator": true, "sagas.example.com": true, "a_b-c.example": true, "192.0.2.1": true, "2001:db8::1": true, "[2001:db8::1]": true,
		"coordinator:8080": false, "http://coordinator": false, "*.example.com": false, "a b": false, "": false, "sagas/": false, strings.Repeat("a", 254): false, "bücher.example": false,
	} {
		err := (&access.Config{Hosts: []string{name}}).Validate()
		if (err == nil) != right || err != nil && !strings.Contains(err.Error(), "is not a host name") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for address, right := range map[string]bool{"https://sagas.example.com": true, "http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://sagas.example.com": false, "sagas.example.com": false, "https://": false} {
		if err := (&access.Config{PublicURL: address}).Validate(); (err == nil) != right {
			t.Errorf("public url %q: %v", address, err)
		}
	}
}
