package access_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/amends-dev/amends/internal/access"
)

// jose256 signs with a shared secret.
func jose256(secret []byte) jose.SigningKey {
	return jose.SigningKey{Algorithm: jose.HS256, Key: secret}
}

// TestSession checks that a browser that logged in has the rights of its token until it logs out.
// Scripts and other sites cannot read its cookie.
func TestSession(t *testing.T) {
	h := newFixture(t)
	browser := h.browser(t)
	response := h.login(t, browser, h.keys["operator"])
	if response.StatusCode != http.StatusSeeOther || response.Header.Get("Location") != "/sagas/order-42" {
		t.Fatalf("login: %s to %q", response.Status, response.Header.Get("Location"))
	}
	cookie := response.cookies[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" || cookie.Secure {
		t.Errorf("cookie over plain HTTP: %+v", cookie)
	}
	if _, body := h.knock(t, browser, http.MethodGet, "/auth/whoami", ""); body != `{"name":"operator","role":"operator","via":"token"}`+"\n" {
		t.Errorf("whoami: %s", body)
	}
	for path, want := range map[string]int{start: http.StatusOK, register: http.StatusForbidden} {
		if response, _ := h.knock(t, browser, http.MethodPost, path, ""); response.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
		}
	}
	kept := []*http.Cookie{cookie}
	if response, _ := h.knock(t, browser, http.MethodPost, "/auth/logout", ""); response.StatusCode != http.StatusSeeOther {
		t.Errorf("logout: %s", response.Status)
	}
	// The cookie is not valid after the logout.
	response, _ = h.knock(t, h.Client(), http.MethodPost, get, "", func(r *http.Request) { r.AddCookie(kept[0]) })
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the logout: %s", response.Status)
	}
}

// TestSecureCookie checks that with TLS, even if a proxy terminates it, the cookie's name binds the
// cookie to TLS and to this host.
func TestSecureCookie(t *testing.T) {
	said := newFixture(t, func(c *access.Config) { c.Secure = true })
	public := newFixture(t, func(c *access.Config) { c.PublicURL = "https://sagas.example.com:8443" })
	asked := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
	for name, tt := range map[string]struct {
		cookie *http.Cookie
		secure bool
	}{
		"said":               {said.login(t, said.browser(t), said.keys["viewer"]).cookies[0], true},
		"by its public name": {public.login(t, public.browser(t), public.keys["viewer"], asked("sagas.example.com:8443")).cookies[0], true},
		"on this machine":    {public.login(t, public.browser(t), public.keys["viewer"]).cookies[0], false},
	} {
		if c := tt.cookie; c.Secure != tt.secure || (c.Name == "__Host-amends_session") != tt.secure {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// TestSessionEnds checks that a session ends when it has been idle too long, and after its maximum
// duration even if it is in use.
func TestSessionEnds(t *testing.T) {
	h := newFixture(t)
	idle, busy := h.browser(t), h.browser(t)
	h.login(t, idle, h.keys["viewer"])
	h.clock.forward(access.IdleLimit)
	if response, _ := h.knock(t, idle, http.MethodPost, get, ""); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a session was idle for %s: %s", access.IdleLimit, response.Status)
	}
	h.login(t, busy, h.keys["viewer"])
	step := access.IdleLimit - time.Minute
	for spent := step; spent < access.SessionLimit; spent += step {
		h.clock.forward(step)
		if response, _ := h.knock(t, busy, http.MethodPost, get, ""); response.StatusCode != http.StatusOK {
			t.Fatalf("a session in use ended after %s: %s", spent, response.Status)
		}
	}
	h.clock.forward(step)
	if response, _ := h.knock(t, busy, http.MethodPost, get, ""); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a session is older than %s: %s", access.SessionLimit, response.Status)
	}
}

// TestOtherSites checks that pages of other sites can neither use nor begin a session.
func TestOtherSites(t *testing.T) {
	h := newFixture(t)
	browser := h.browser(t)
	h.login(t, browser, h.keys["admin"])
	for name, change := range map[string]func(*http.Request){
		"cross-site":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"same-site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"old browser": func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	} {
		for _, path := range []string{start, register, "/backup", "/auth/logout"} {
			if response, body := h.knock(t, browser, http.MethodPost, path, "", change); response.StatusCode != http.StatusForbidden || strings.HasPrefix(body, "in: ") {
				t.Errorf("%s, POST %s: %s", name, path, response.Status)
			}
		}
		if response := h.login(t, h.browser(t), h.keys["viewer"], func(r *http.Request) { r.Header.Del("Sec-Fetch-Site") }, change); response.StatusCode != http.StatusForbidden {
			t.Errorf("%s, login: %s", name, response.Status)
		}
	}
	if response, _ := h.knock(t, browser, http.MethodPost, register, ""); response.StatusCode != http.StatusOK {
		t.Errorf("the session did not outlive the attempts: %s", response.Status)
	}
}

// TestLoginIsSlowedDown checks that failed logins from one address are rate-limited.
func TestLoginIsSlowedDown(t *testing.T) {
	h := newFixture(t)
	for i := range access.LoginBurst {
		if response := h.login(t, h.browser(t), "guess"); response.StatusCode != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %s", i, response.Status)
		}
	}
	if response := h.login(t, h.browser(t), h.keys["viewer"]); response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %s", response.Status)
	}
	h.clock.forward(access.LoginPause + time.Second)
	if response := h.login(t, h.browser(t), h.keys["viewer"]); response.StatusCode != http.StatusSeeOther {
		t.Errorf("after the pause: %s", response.Status)
	}
}

// TestStrangersBegunLogins checks that thousands of logins that one address begins but never
// completes do not block others (I13).
func TestStrangersBegunLogins(t *testing.T) {
	h := newFixture(t)
	h.issuer.claims = h.issuer.person("ada", "operator")
	begin := func(from string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, h.URL+"/auth/oidc", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		h.Config.Handler.ServeHTTP(w, r)
		return w.Code
	}
	begun := 0
	for begin("192.0.2.1:1") == http.StatusSeeOther {
		if begun++; begun > 20_000 {
			t.Fatalf("%d logins are in progress", begun)
		}
	}
	browser := h.browser(t)
	if response, _ := h.knock(t, browser, http.MethodGet, h.comeBack(t, browser), ""); response.StatusCode != http.StatusOK {
		t.Errorf("a login from elsewhere: %s", response.Status)
	}
	h.clock.forward(11 * time.Minute)
	if code := begin("192.0.2.1:2"); code != http.StatusSeeOther {
		t.Errorf("when all that were begun are over: %d", code)
	}
}

// TestNextStaysHere checks that a login never redirects to another site.
func TestNextStaysHere(t *testing.T) {
	h := newFixture(t)
	for _, next := range []string{"https://evil.example/", "//evil.example", "///evil.example", `/\evil.example`, "javascript:alert(1)", "/\tx", "evil", `"><script>`} {
		response, body := h.knock(t, h.browser(t), http.MethodGet, "/auth/login?next="+url.QueryEscape(next), "")
		if !strings.Contains(body, `name="next" value="/"`) {
			t.Errorf("%q stands in the page: %s", next, body)
		}
		if csp := response.Header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("policy of the page: %s", csp)
		}
	}
}

// TestLoginAtProvider checks a login at the OIDC provider, with PKCE, state and nonce.
func TestLoginAtProvider(t *testing.T) {
	h := newFixture(t)
	h.issuer.claims = h.issuer.person("ada", "operator")
	browser := h.browser(t)
	back := h.comeBack(t, browser)
	response, body := h.knock(t, browser, http.MethodGet, back, "")
	if response.StatusCode != http.StatusOK || response.Header.Get("Refresh") != "0; url=/sagas" {
		t.Fatalf("callback: %s %s", response.Status, body)
	}
	if _, body := h.knock(t, browser, http.MethodGet, "/auth/whoami", ""); body != `{"name":"ada@example.com","role":"operator","via":"oidc"}`+"\n" {
		t.Errorf("whoami: %s", body)
	}
	if response, _ := h.knock(t, browser, http.MethodGet, back, ""); response.StatusCode != http.StatusBadRequest {
		t.Errorf("the same callback once more: %s", response.Status)
	}
	// A login that began in one browser cannot be completed in another.
	stranger := h.comeBack(t, browser)
	if response, _ := h.knock(t, h.browser(t), http.MethodGet, stranger, ""); response.StatusCode != http.StatusBadRequest {
		t.Errorf("in another browser: %s", response.Status)
	}
	late := h.comeBack(t, browser)
	h.clock.forward(11 * time.Minute)
	if response, _ := h.knock(t, browser, http.MethodGet, late, ""); response.StatusCode != http.StatusBadRequest {
		t.Errorf("after its time: %s", response.Status)
	}
}

// TestLoginAtProviderRefused checks that the provider's answer is verified.
func TestLoginAtProviderRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(map[string]any)
		want  int
	}{
		"other login":   {func(c map[string]any) { c["nonce"] = "another" }, http.StatusUnauthorized},
		"other client":  {func(c map[string]any) { c["aud"] = "payroll" }, http.StatusUnauthorized},
		"without roles": {func(c map[string]any) { delete(c, "roles") }, http.StatusForbidden},
	} {
		h := newFixture(t)
		h.issuer.claims, h.issuer.spoil = h.issuer.person("ada", "admin"), tt.spoil
		browser := h.browser(t)
		response, _ := h.knock(t, browser, http.MethodGet, h.comeBack(t, browser), "")
		if response.StatusCode != tt.want {
			t.Errorf("%s: %s, want %d", name, response.Status, tt.want)
		}
		if response, _ := h.knock(t, browser, http.MethodPost, get, ""); response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: a session was begun", name)
		}
	}
	// A code that was issued for another login is refused, because the verifier does not match.
	h := newFixture(t)
	h.issuer.claims = h.issuer.person("ada", "admin")
	mine, theirs := h.browser(t), h.browser(t)
	code, state := parameter(t, h.comeBack(t, theirs), "code"), parameter(t, h.comeBack(t, mine), "state")
	if response, _ := h.knock(t, mine, http.MethodGet, "/auth/callback?"+url.Values{"code": {code}, "state": {state}}.Encode(), ""); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("with another login's code: %s", response.Status)
	}
}

// comeBack begins a login, and returns the URL to which the provider redirects the browser.
func (h *fixture) comeBack(t *testing.T, browser *http.Client) string {
	t.Helper()
	response, body := h.knock(t, browser, http.MethodGet, "/auth/oidc?next=/sagas", "")
	if response.StatusCode != http.StatusSeeOther {
		t.Fatalf("to the provider: %s %s", response.Status, body)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, response.Header.Get("Location"), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := h.issuer.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return strings.TrimPrefix(answer.Header.Get("Location"), h.URL)
}

func parameter(t *testing.T, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get(name)
}
