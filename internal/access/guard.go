package access

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"connectrpc.com/connect"
)

// Guard protects a whole mux. Every response gets security headers. Requests for unknown hosts and
// requests from other sites are refused. Each request needs the role of its route, and its body is
// limited according to the route. Handlers find the caller in the context.
func (a *Access) Guard(mux *http.ServeMux) http.Handler {
	protection := http.NewCrossOriginProtection()
	if u, err := url.Parse(a.config.PublicURL); err == nil && u.Host != "" {
		_ = protection.AddTrustedOrigin(u.Scheme + "://" + u.Host) // a proxy may change Host; an invalid URL is not trusted
	}
	refusals := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w.Header())
		_, pattern := mux.Handler(r)
		way := a.demand(r, pattern)
		caller, err := a.admit(r, way, protection)
		if err != nil {
			a.refuse(w, r, refusals, err)
			return
		}
		passed := r.WithContext(With(r.Context(), caller)) // a copy: bound replaces its body, and the server checks the body of r
		if !bound(w, passed, way.body) {
			a.refuse(w, r, refusals, &bodyError{r.ContentLength, way.body})
			return
		}
		if way.health && r.Method != http.MethodPost && !a.hosts.know(r) {
			w = statusOnly{w}
		}
		mux.ServeHTTP(w, passed)
	})
}

// admit returns the caller of a request, or the error with which the request is refused.
func (a *Access) admit(r *http.Request, way route, protection *http.CrossOriginProtection) (Caller, error) {
	if !way.health && !a.hosts.know(r) {
		return Caller{}, &hostError{r.Host}
	}
	if err := protection.Check(r); err != nil {
		return Caller{}, &siteError{err}
	}
	if way.role == open {
		return Caller{network: network(r.RemoteAddr)}, nil
	}
	caller, err := a.who(r, way)
	caller.network = network(r.RemoteAddr)
	if err == nil && caller.Role < way.role {
		err = &roleError{way.role, caller}
	}
	return caller, err
}

// statusOnly discards the body of a response, so that a probe for an unknown host gets only the
// status.
type statusOnly struct{ http.ResponseWriter }

func (statusOnly) Write(text []byte) (int, error) { return len(text), nil }

// refuse writes an error in the protocol of the request.
func (a *Access) refuse(w http.ResponseWriter, r *http.Request, refusals *connect.ErrorWriter, err error) {
	unread(w, r)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	status, code := refusal(err)
	if status == http.StatusUnauthorized {
		challenge := `Bearer realm="amends"`
		if errors.Is(err, errBadKey) {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	switch {
	case strings.HasPrefix(r.URL.Path, servicePath) && refusals.IsSupported(r):
		_ = refusals.Write(w, r, connect.NewError(code, err)) // the client may have disconnected
	case status == http.StatusUnauthorized && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html"):
		http.Redirect(w, r, "/auth/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	default:
		http.Error(w, err.Error(), status)
	}
}

// Policy is the default Content-Security-Policy: a page loads everything from this host, and must
// not be framed.
const Policy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

func protect(h http.Header) {
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
