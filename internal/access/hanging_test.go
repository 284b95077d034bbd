package access_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/amends-dev/amends/internal/access"
)

// gate is an OIDC provider that hangs on some paths, and counts its requests.
type gate struct {
	issuer *issuer
	hangs  atomic.Value // prefix of the paths on which it hangs
	asked  map[string]*atomic.Int64
}

const (
	discovery = "/.well-known/openid-configuration"
	keys      = "/keys"
	exchange  = "/token"
	answers   = "-" // no path
)

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{issuer: newIssuerHere(t), asked: map[string]*atomic.Int64{discovery: {}, keys: {}, exchange: {}}}
	g.hangs.Store(answers)
	return g
}

// RoundTrip answers without a network, so that the test can run in virtual time.
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.asked[r.URL.Path] != nil {
		g.asked[r.URL.Path].Add(1)
	}
	if r.URL.Path == g.hangs.Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	g.issuer.Config.Handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// hall is a guard that is called without a network.
type hall struct {
	t      *testing.T
	gate   *gate
	guard  http.Handler
	secret string // token of an admin
}

func newHall(t *testing.T) *hall {
	t.Helper()
	h := &hall{t: t, gate: newGate(t)}
	secret, line, err := access.NewToken("ada", access.RoleAdmin, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	h.secret = secret
	file := filepath.Join(t.TempDir(), tokenFile)
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := access.New(access.Config{
		Tokens: file, Logger: slog.New(slog.DiscardHandler), PublicURL: "https://sagas.example.com",
		OIDC: access.OIDC{Issuer: h.gate.issuer.URL, ClientID: "amends", Transport: h.gate},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		caller, _ := access.From(r.Context())
		_, _ = io.WriteString(w, caller.Name)
	})
	a.Mount(mux)
	h.guard = a.Guard(mux)
	return h
}

// ask sends a request, and returns the response and the time taken.
func (h *hall) ask(r *http.Request) (*httptest.ResponseRecorder, time.Duration) {
	began, w := time.Now(), httptest.NewRecorder()
	r.Host = "localhost"
	h.guard.ServeHTTP(w, r)
	return w, time.Since(began)
}

func (h *hall) get(path, key string) (*httptest.ResponseRecorder, time.Duration) {
	r := httptest.NewRequestWithContext(h.t.Context(), http.MethodGet, path, nil)
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return h.ask(r)
}

// expect sends a request, and checks the status and the time taken.
func (h *hall) expect(what, key string, status int, within time.Duration) {
	h.t.Helper()
	w, took := h.get("/", key)
	if w.Code != status || took > within {
		h.t.Errorf("%s: %d after %s, want %d within %s: %s", what, w.Code, took, status, within, w.Body)
	}
}

// issuerLimit is the timeout of requests to the OIDC provider.
const issuerLimit = 10 * time.Second

// TestHangingIssuer checks that an OIDC provider that hangs delays only callers who need it. These
// share one request (I13).
func TestHangingIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		token := h.gate.issuer.sign(h.gate.issuer.person("kim", "viewer"))
		h.gate.hangs.Store(discovery)
		for range 20 {
			go h.expect("a token of the provider", token, http.StatusServiceUnavailable, issuerLimit)
		}
		synctest.Wait()
		h.expect("a token of the file", h.secret, http.StatusOK, 0)
		h.expect("no key", "", http.StatusUnauthorized, 0)
		if w, took := h.get("/auth/login", ""); w.Code != http.StatusOK || took != 0 {
			t.Errorf("the login page: %d after %s", w.Code, took)
		}
		time.Sleep(6 * time.Second) // longer than the pause between two attempts
		for range 20 {
			go h.expect("one that comes later", token, http.StatusServiceUnavailable, issuerLimit)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := h.gate.asked[discovery].Load(); n != 1 {
			t.Errorf("the provider was asked %d times, want once", n)
		}
		h.expect("just after it did not answer", token, http.StatusServiceUnavailable, 0)
		time.Sleep(6 * time.Second)
		go h.expect("when it is asked again", token, http.StatusServiceUnavailable, issuerLimit)
		synctest.Wait()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/login", strings.NewReader(url.Values{"token": {token}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if w, took := h.ask(r); w.Code != http.StatusServiceUnavailable || took > issuerLimit {
			t.Errorf("typed in at the login page: %d after %s", w.Code, took)
		}
		h.gate.hangs.Store(answers)
		time.Sleep(6 * time.Second)
		h.expect("when it answers", token, http.StatusOK, 0)
	})
}

// TestHangingKeys checks a provider that does not return its keys. Tokens that were signed with a
// known key are accepted. Others are refused with an error that names the provider as the cause.
func TestHangingKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		token := h.gate.issuer.sign(h.gate.issuer.person("kim", "viewer"))
		h.expect("the first", token, http.StatusOK, 0)
		h.gate.hangs.Store(keys)
		for range 20 {
			go h.expect("a key that nobody knows", withKey(token, "k2"), http.StatusServiceUnavailable, issuerLimit)
		}
		synctest.Wait()
		h.expect("a key that is known", token, http.StatusOK, 0)
		h.expect("a token of the file", h.secret, http.StatusOK, 0)
		time.Sleep(issuerLimit)
		synctest.Wait()
		if n := h.gate.asked[keys].Load(); n != 2 {
			t.Errorf("the keys were asked for %d times, want twice", n)
		}
	})
}

// withKey returns the token with a different key id.
func withKey(token, id string) string {
	parts := strings.Split(token, ".")
	header, err := json.Marshal(map[string]string{"alg": string(jose.RS256), "kid": id})
	if err != nil {
		panic(err)
	}
	parts[0] = encoded(header)
	return strings.Join(parts, ".")
}

// TestHangingExchange checks that a login whose code exchange hangs delays no other login.
func TestHangingExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		h.gate.issuer.claims = maps.Clone(h.gate.issuer.person("kim", "viewer"))
		h.gate.hangs.Store(exchange)
		back := func() *http.Request {
			w, _ := h.get("/auth/oidc", "")
			to, err := url.Parse(w.Header().Get("Location"))
			if err != nil || to.Path != "/authorize" {
				t.Fatalf("a login begins with %d: %s", w.Code, w.Body)
			}
			answer, err := h.gate.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, to.String(), nil))
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, answer.Header.Get("Location"), nil)
			for _, c := range w.Result().Cookies() {
				r.AddCookie(c)
			}
			return r
		}
		var logins sync.WaitGroup
		for range 5 {
			logins.Go(func() {
				if w, took := h.ask(back()); w.Code != http.StatusBadGateway || took > issuerLimit {
					t.Errorf("a login: %d after %s", w.Code, took)
				}
			})
		}
		synctest.Wait()
		h.gate.hangs.Store(answers)
		if w, took := h.ask(back()); w.Code != http.StatusOK || took != 0 {
			t.Errorf("a login beside it: %d after %s: %s", w.Code, took, w.Body)
		}
		h.gate.hangs.Store(exchange) // the library sends a second request
		logins.Wait()
	})
}
