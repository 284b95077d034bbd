package access

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/amends-dev/amends/internal/quota"
)

const (
	loginLimit = 10 * time.Minute // for logging in at the provider
	maxLogins  = 10_000           // logins in progress (I10)
)

// providerAway is shown on the login page.
const providerAway = "The login provider does not answer. Use a token of the coordinator, or try again later."

// Mount adds the browser routes below /auth/: login, logout, the OIDC redirects, and whoami.
func (a *Access) Mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /auth/whoami", a.whoami)
	if !a.config.Enabled() {
		return
	}
	mux.HandleFunc("GET /auth/login", func(w http.ResponseWriter, r *http.Request) {
		a.page(w, http.StatusOK, r.URL.Query().Get("next"), "")
	})
	mux.HandleFunc("POST /auth/login", a.login)
	mux.HandleFunc("POST /auth/logout", a.logout)
	if a.provider != nil && a.config.PublicURL != "" {
		mux.HandleFunc("GET /auth/oidc", a.toProvider)
		mux.HandleFunc("GET /auth/callback", a.fromProvider)
	}
}

// whoami writes the caller as JSON: {"name": "ada", "role": "operator", "via": "token"}.
func (a *Access) whoami(w http.ResponseWriter, r *http.Request) {
	caller, _ := From(r.Context())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	body, err := json.Marshal(map[string]string{"name": caller.Name, "role": caller.Role.String(), "via": caller.Via})
	if err != nil {
		panic(err) // cannot fail for a map of strings
	}
	_, _ = w.Write(append(body, '\n'))
}

// login checks a token from the login form, and begins a session.
func (a *Access) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || !r.PostForm.Has("token") { // does not parse multipart forms, which would be stored in files
		status := http.StatusBadRequest
		if _, long := errors.AsType[*http.MaxBytesError](err); long {
			status = http.StatusRequestEntityTooLarge
		}
		unread(w, r)
		a.page(w, status, "", "The form could not be read. Fill it in again.")
		return
	}
	next := r.PostForm.Get("next")
	if !a.limits.allows(r.RemoteAddr) {
		w.Header().Set("Retry-After", strconv.Itoa(int(LoginPause.Seconds())))
		a.page(w, http.StatusTooManyRequests, next, "Too many failed logins. Wait a few seconds and try again.")
		return
	}
	caller, token, err := a.check(r.Context(), strings.TrimSpace(r.PostForm.Get("token")))
	if errors.Is(err, errNoProvider) {
		a.page(w, http.StatusServiceUnavailable, next, providerAway)
		return
	}
	if err != nil || caller.Role == Nobody {
		a.limits.failed(r.RemoteAddr)
		a.config.Logger.Warn("login failed", slog.String("from", r.RemoteAddr))
		a.page(w, http.StatusUnauthorized, next, "This token is not valid.")
		return
	}
	a.enter(w, r, caller, token)
	http.Redirect(w, r, local(next), http.StatusSeeOther) //nolint:gosec // local lets paths of this host through only
}

// enter begins a new session. It never reuses an existing one.
func (a *Access) enter(w http.ResponseWriter, r *http.Request, caller Caller, token digest) {
	if old, err := r.Cookie(a.cookieName(r)); err == nil {
		a.sessions.end(old.Value)
	}
	a.config.Logger.Info("logged in", slog.String("caller", caller.Name), slog.String("role", caller.Role.String()), slog.String("via", caller.Via))
	a.setCookie(w, r, a.cookieName(r), a.sessions.begin(caller, token), http.SameSiteStrictMode, 0)
}

// setCookie sets a cookie for this host that scripts cannot read. A negative age deletes the
// cookie; 0 keeps it until the browser is closed.
func (a *Access) setCookie(w http.ResponseWriter, r *http.Request, name, value string, site http.SameSite, age int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is set below
		Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, SameSite: site,
		Secure: a.secure(r), // false only for plain HTTP on loopback, where some browsers drop secure cookies
	})
}

func (a *Access) logout(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(a.cookieName(r)); err == nil {
		a.sessions.end(cookie.Value)
	}
	a.setCookie(w, r, a.cookieName(r), "", http.SameSiteStrictMode, -1)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/auth/login", http.StatusSeeOther)
}

// local returns next if it is a path of this server, or else "/".
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

// login holds a login in progress at the provider.
type login struct {
	nonce, verifier, next string
	network               string // network where it began
	begun                 time.Time
}

// logins holds the logins in progress, by their state parameter. The browser keeps the state in a
// cookie, so that another browser cannot complete the login. A network may use at most as many of
// the maxLogins slots as remain free, so that thousands of logins from one network do not block
// others.
type logins struct {
	clock func() time.Time

	mu      sync.Mutex
	byState map[string]login
	quota   *quota.Quota
}

func newLogins(clock func() time.Time) *logins {
	return &logins{clock: clock, byState: map[string]login{}, quota: quota.New(maxLogins, 0)}
}

func (l *logins) begin(network, next string) (state string, one login, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	err := l.quota.Take(network)
	if err != nil {
		for s, old := range l.byState {
			if now.Sub(old.begun) >= loginLimit {
				l.remove(s)
			}
		}
		err = l.quota.Take(network)
	}
	if err != nil {
		return "", login{}, false
	}
	state, one = random(), login{nonce: random(), verifier: oauth2.GenerateVerifier(), next: next, network: network, begun: now}
	l.byState[state] = one
	return state, one, true
}

// remove removes a login. The caller holds the lock.
func (l *logins) remove(state string) (login, bool) {
	one, ok := l.byState[state]
	if ok {
		delete(l.byState, state)
		l.quota.Give(one.network)
	}
	return one, ok
}

// end removes and returns a login, so that its state can be used only once.
func (l *logins) end(state string) (login, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, ok := l.remove(state)
	return one, ok && l.clock().Sub(one.begun) < loginLimit
}

// stateCookie is the name of the cookie that binds a login to its browser. It is not
// SameSite=Strict, because browsers must send it when the provider redirects back.
const stateCookie = "amends_login"

func (a *Access) toProvider(w http.ResponseWriter, r *http.Request) {
	state, one, ok := a.logins.begin(network(r.RemoteAddr), local(r.URL.Query().Get("next")))
	if !ok {
		a.page(w, http.StatusServiceUnavailable, "", "Too many logins are in progress. Wait a minute and try again.")
		return
	}
	to, err := a.provider.leave(r.Context(), state, one.nonce, one.verifier)
	if err != nil {
		a.limited.Error("cannot start a login at the OIDC provider", slog.Any("error", err))
		a.page(w, http.StatusBadGateway, "", providerAway)
		return
	}
	a.setCookie(w, r, stateCookie, state, http.SameSiteLaxMode, int(loginLimit.Seconds()))
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // the URL is from the provider's discovery document
}

func (a *Access) fromProvider(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	state := query.Get("state")
	cookie, err := r.Cookie(stateCookie)
	one, known := a.logins.end(state)
	a.setCookie(w, r, stateCookie, "", http.SameSiteLaxMode, -1)
	if err != nil || cookie.Value != state || !known {
		a.page(w, http.StatusBadRequest, "", "This login was started in another browser, or has expired. Log in again.")
		return
	}
	caller, err := a.provider.comeBack(r.Context(), query.Get("code"), one.nonce, one.verifier)
	switch {
	case errors.Is(err, errNoProvider):
		a.limited.Error("cannot complete a login at the OIDC provider", slog.Any("error", err))
		a.page(w, http.StatusBadGateway, one.next, providerAway)
	case err != nil:
		a.config.Logger.Warn("login failed", slog.String("from", r.RemoteAddr), slog.Any("error", err), slog.String("provider_error", query.Get("error")))
		a.page(w, http.StatusUnauthorized, one.next, "The login provider did not confirm your identity.")
	case caller.Role == Nobody:
		a.page(w, http.StatusForbidden, one.next, "You are logged in as "+caller.Name+", but have no role here. Ask the coordinator's administrator for one.")
	default:
		a.enter(w, r, caller, digest{})
		// Do not redirect: the browser would treat that as a navigation from the provider's site,
		// and not send the strict session cookie.
		a.arrived(w, one.next)
	}
}
