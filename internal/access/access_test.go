package access_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	get       = apiv1connect.CoordinatorServiceGetProcedure
	start     = apiv1connect.CoordinatorServiceStartProcedure
	register  = apiv1connect.CoordinatorServiceRegisterDefinitionProcedure
	tokenFile = "tokens"
)

// fixture is a guarded server. Every path returns the caller.
type fixture struct {
	*httptest.Server

	dir    string
	keys   map[string]string // token by role
	clock  *clock
	issuer *issuer
	log    *bytes.Buffer
}

type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// newFixture returns a fixture with one token for each role, named after it, and an OIDC provider.
func newFixture(t *testing.T, change ...func(*access.Config)) *fixture {
	t.Helper()
	h := &fixture{dir: t.TempDir(), keys: map[string]string{}, clock: &clock{}, issuer: newIssuer(t), log: &bytes.Buffer{}}
	var file strings.Builder
	for _, role := range []access.Role{access.RoleViewer, access.RoleOperator, access.RoleAdmin} {
		secret, line, err := access.NewToken(role.String(), role, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		h.keys[role.String()] = secret
		file.WriteString("# a token\n\n" + line + "\n")
	}
	h.write(t, file.String())
	mux := http.NewServeMux()
	h.Server = httptest.NewUnstartedServer(mux)
	h.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	c := access.Config{
		Tokens: filepath.Join(h.dir, tokenFile), Logger: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Clock: h.clock.now,
		OIDC: access.OIDC{Issuer: h.issuer.URL, ClientID: "amends"}, PublicURL: "http://" + h.Listener.Addr().String(),
	}
	for _, f := range change {
		f(&c)
	}
	a, err := access.New(c)
	if err != nil {
		t.Fatal(err)
	}
	entry := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := access.From(r.Context())
		_, _ = io.WriteString(w, "in: "+caller.Name+" "+caller.Role.String())
	})
	for _, pattern := range []string{"GET /livez", "GET /metrics", "POST /backup", "GET /debug/pprof/", "/", "POST /new", "/" + apiv1connect.CoordinatorServiceName + "/"} {
		mux.Handle(pattern, entry)
	}
	a.Mount(mux)
	h.Config.Handler = a.Guard(mux)
	h.Start()
	t.Cleanup(h.Close)
	return h
}

func (h *fixture) write(t *testing.T, tokens string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, tokenFile), []byte(tokens), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reply is a response without its body.
type reply struct {
	StatusCode      int
	Status          string
	Header, Trailer http.Header
	cookies         []*http.Cookie
}

// knock sends a request and returns the response and its body.
func (h *fixture) knock(t *testing.T, client *http.Client, method, path, key string, change ...func(*http.Request)) (reply, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, h.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for _, f := range change {
		f(r)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Status, response.Header, response.Trailer, response.Cookies()}, string(body)
}

// browser returns a client that keeps cookies and follows no redirects.
func (h *fixture) browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Transport: h.Client().Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// TestRoutes requests each path with each kind of token: none, an invalid one, and one of each role.
func TestRoutes(t *testing.T) {
	h := newFixture(t)
	wrong := access.TokenPrefix + strings.Repeat("A", 43)
	for _, entry := range []struct {
		method, path string
		least        access.Role
	}{
		{"GET", "/livez", access.Nobody},
		{"GET", "/auth/login", access.Nobody},
		{"GET", "/", access.RoleViewer},
		{"GET", "/sagas/order-42", access.RoleViewer},
		{"GET", "/metrics", access.RoleViewer},
		{"GET", "/auth/whoami", access.RoleViewer},
		{"GET", get + "?encoding=json&message=%7B%7D", access.RoleViewer},
		{"POST", get, access.RoleViewer},
		{"POST", start, access.RoleOperator},
		{"POST", register, access.RoleAdmin},
		{"POST", "/" + apiv1connect.CoordinatorServiceName + "/NotDecidedYet", access.RoleAdmin},
		{"POST", "/" + apiv1connect.CoordinatorServiceName + "/", access.RoleAdmin},
		{"POST", "/new", access.RoleAdmin},
		{"POST", "/backup", access.RoleAdmin},
		{"GET", "/debug/pprof/heap", access.RoleAdmin},
	} {
		for key, role := range map[string]access.Role{
			"": access.Nobody, wrong: access.Nobody, "x": access.Nobody,
			h.keys["viewer"]: access.RoleViewer, h.keys["operator"]: access.RoleOperator, h.keys["admin"]: access.RoleAdmin,
		} {
			want := http.StatusOK
			switch {
			case role >= entry.least:
			case role == access.Nobody:
				want = http.StatusUnauthorized
			default:
				want = http.StatusForbidden
			}
			response, body := h.knock(t, h.Client(), entry.method, entry.path, key)
			if response.StatusCode != want {
				t.Errorf("%s %s as %s: %d, want %d", entry.method, entry.path, role, response.StatusCode, want)
			}
			if in := strings.HasPrefix(body, "in: "); in && want != http.StatusOK {
				t.Errorf("%s %s as %s: was let in", entry.method, entry.path, role)
			}
			if want == http.StatusUnauthorized && !strings.HasPrefix(response.Header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s %s: no challenge", entry.method, entry.path)
			}
		}
	}
	if log := h.log.String(); strings.Contains(log, wrong) || strings.Contains(log, h.keys["admin"]) {
		t.Error("a token is in the log")
	}
}

// TestRefusalsSpeakTheProtocol checks that a Connect or gRPC client gets a refusal in its own
// protocol.
func TestRefusalsSpeakTheProtocol(t *testing.T) {
	h := newFixture(t)
	response, body := h.knock(t, h.Client(), http.MethodPost, start, h.keys["viewer"])
	var failure struct{ Code, Message string }
	if err := json.Unmarshal([]byte(body), &failure); err != nil || failure.Code != "permission_denied" || !strings.Contains(failure.Message, "role operator") {
		t.Errorf("Connect: %s %s", response.Status, body)
	}
	response, _ = h.knock(t, h.Client(), http.MethodPost, start, "", func(r *http.Request) { r.Header.Set("Content-Type", "application/grpc") })
	if got := response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status"); got != "16" {
		t.Errorf("gRPC: status %q, want 16 (unauthenticated)", got)
	}
	browser := h.browser(t)
	response, _ = h.knock(t, browser, http.MethodGet, "/sagas?phase=parked", "", func(r *http.Request) { r.Header.Set("Accept", "text/html") })
	if to := response.Header.Get("Location"); response.StatusCode != http.StatusSeeOther || to != "/auth/login?next=%2Fsagas%3Fphase%3Dparked" {
		t.Errorf("browser: %s to %q", response.Status, to)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Security-Policy": access.Policy} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestBearerOfProvider checks that a token of the OIDC provider has the roles in its claim. A token
// that is forged, expired or for another audience is refused.
func TestBearerOfProvider(t *testing.T) {
	h := newFixture(t, func(c *access.Config) {
		c.OIDC.Roles = map[string]access.Role{"oncall": access.RoleOperator, "staff": access.RoleViewer}
	})
	h.issuer.claims = nil
	ada := func(change func(map[string]any)) map[string]any {
		claims := h.issuer.person("ada", "staff", "oncall", "admin")
		change(claims)
		return claims
	}
	same := func(map[string]any) {}
	other := newIssuer(t)
	public, err := json.Marshal(h.issuer.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		token string
		want  int
	}{
		"good":           {h.issuer.sign(ada(same)), http.StatusOK},
		"audience list":  {h.issuer.sign(ada(func(c map[string]any) { c["aud"] = []string{"x", "amends"} })), http.StatusOK},
		"expired":        {h.issuer.sign(ada(func(c map[string]any) { c["exp"] = time.Now().Add(-time.Minute).Unix() })), http.StatusUnauthorized},
		"no expiry":      {h.issuer.sign(ada(func(c map[string]any) { delete(c, "exp") })), http.StatusUnauthorized},
		"not yet valid":  {h.issuer.sign(ada(func(c map[string]any) { c["nbf"] = time.Now().Add(time.Hour).Unix() })), http.StatusUnauthorized},
		"wrong audience": {h.issuer.sign(ada(func(c map[string]any) { c["aud"] = "payroll" })), http.StatusUnauthorized},
		"wrong issuer":   {h.issuer.sign(ada(func(c map[string]any) { c["iss"] = other.URL })), http.StatusUnauthorized},
		"wrong key":      {other.sign(ada(same)), http.StatusUnauthorized},
		"alg none":       {unsigned(ada(same)), http.StatusUnauthorized},
		"public key as secret": {signWith(jose256(public), ada(same)),
			http.StatusUnauthorized},
		"changed":      {tampered(h.issuer.sign(ada(same))), http.StatusUnauthorized},
		"no name":      {h.issuer.sign(ada(func(c map[string]any) { delete(c, "email"); c["sub"] = "" })), http.StatusUnauthorized},
		"no role":      {h.issuer.sign(ada(func(c map[string]any) { c["roles"] = []string{"admin"} })), http.StatusForbidden}, // not a value in the configured mapping
		"small role":   {h.issuer.sign(ada(func(c map[string]any) { c["roles"] = "staff" })), http.StatusForbidden},
		"odd claim":    {h.issuer.sign(ada(func(c map[string]any) { c["roles"] = map[string]any{"oncall": true} })), http.StatusForbidden},
		"no signature": {strings.Join(strings.Split(h.issuer.sign(ada(same)), ".")[:2], ".") + ".", http.StatusUnauthorized},
	} {
		response, body := h.knock(t, h.Client(), http.MethodPost, start, tt.token)
		if response.StatusCode != tt.want {
			t.Errorf("%s: %d, want %d: %s", name, response.StatusCode, tt.want, body)
		}
		if tt.want == http.StatusOK && body != "in: ada@example.com operator" {
			t.Errorf("%s: %s", name, body)
		}
	}
	unverified := h.issuer.sign(ada(func(c map[string]any) { c["email"], c["email_verified"] = "boss@example.com", false }))
	if _, body := h.knock(t, h.Client(), http.MethodPost, get, unverified); body != "in: ada operator" {
		t.Errorf("an unverified email address is used as the name: %s", body)
	}
}

// tampered changes one letter of a token's payload.
func tampered(token string) string {
	at := strings.Index(token, ".") + 20
	letter := byte('A')
	if token[at] == letter {
		letter = 'B'
	}
	return token[:at] + string(letter) + token[at+1:]
}

// TestProviderAway checks that while the OIDC provider does not answer, its tokens are refused with
// an error that says so. They are accepted again once it answers.
func TestProviderAway(t *testing.T) {
	h := newFixture(t)
	token := h.issuer.sign(h.issuer.person("ada", "admin"))
	handler := h.issuer.Config.Handler
	var away atomic.Bool
	away.Store(true)
	h.issuer.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, "closed", http.StatusBadGateway)
			return
		}
		handler.ServeHTTP(w, r)
	})
	if response, _ := h.knock(t, h.Client(), http.MethodPost, get, token); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("away: %s", response.Status)
	}
	away.Store(false)
	h.clock.forward(6 * time.Second)
	if response, body := h.knock(t, h.Client(), http.MethodPost, get, token); response.StatusCode != http.StatusOK {
		t.Errorf("back: %s %s", response.Status, body)
	}
}

// TestTokenFileChanges checks that a change of the token file takes effect, for sessions too. A
// file with an error changes nothing.
func TestTokenFileChanges(t *testing.T) {
	h := newFixture(t)
	browser := h.browser(t)
	if response := h.login(t, browser, h.keys["admin"]); response.StatusCode != http.StatusSeeOther {
		t.Fatalf("login: %s", response.Status)
	}
	_, next, err := access.NewToken("admin", access.RoleViewer, h.clock.now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, next+" and more\n")
	h.clock.forward(2 * time.Second)
	if response, _ := h.knock(t, h.Client(), http.MethodPost, register, h.keys["admin"]); response.StatusCode != http.StatusOK {
		t.Errorf("an error in the file locks users out: %s", response.Status)
	}
	if !strings.Contains(h.log.String(), "line 1") {
		t.Errorf("the error is not logged: %s", h.log)
	}
	h.write(t, next+"\n")
	h.clock.forward(2 * time.Second)
	if response, _ := h.knock(t, h.Client(), http.MethodPost, get, h.keys["admin"]); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token that was taken out: %s", response.Status)
	}
	if response, _ := h.knock(t, browser, http.MethodGet, "/", ""); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session of a token that was taken out: %s", response.Status)
	}
}

// TestTokenExpires checks that a token is valid until it expires.
func TestTokenExpires(t *testing.T) {
	h := newFixture(t)
	secret, line, err := access.NewToken("ci", access.RoleViewer, h.clock.now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, line)
	h.clock.forward(59 * time.Minute)
	if response, _ := h.knock(t, h.Client(), http.MethodPost, get, secret); response.StatusCode != http.StatusOK {
		t.Errorf("before: %s", response.Status)
	}
	h.clock.forward(time.Minute)
	if response, _ := h.knock(t, h.Client(), http.MethodPost, get, secret); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("after: %s", response.Status)
	}
}

// login submits the form of the login page.
func (h *fixture) login(t *testing.T, browser *http.Client, key string, change ...func(*http.Request)) reply {
	t.Helper()
	form := url.Values{"token": {key}, "next": {"/sagas/order-42"}}.Encode()
	response, _ := h.knock(t, browser, http.MethodPost, "/auth/login", "", append([]func(*http.Request){func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(form)), int64(len(form))
	}}, change...)...)
	return response
}
