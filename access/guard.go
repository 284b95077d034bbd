package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"connectrpc.com/connect"
)

// Guard stands before a whole mux: every request gets the security headers, pages
// from elsewhere are kept out, and what its way demands is held against the role
// of whoever makes it. The caller is in the context of what passes.
func (a *Access) Guard(mux *http.ServeMux) http.Handler {
	protection := http.NewCrossOriginProtection()
	if u := a.config.OIDC.PublicURL; u != "" {
		_ = protection.AddTrustedOrigin(strings.TrimSuffix(u, "/")) // a proxy may change Host; an odd URL is only not trusted
	}
	refusals := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w.Header())
		if err := protection.Check(r); err != nil {
			http.Error(w, "a page from another site may not do this: "+err.Error(), http.StatusForbidden)
			return
		}
		_, pattern := mux.Handler(r)
		role := demand(r, pattern)
		if pattern == "GET /metrics" && a.config.OpenMetrics {
			role = open
		}
		if role == open {
			mux.ServeHTTP(w, r)
			return
		}
		caller, err := a.who(r)
		switch {
		case errors.Is(err, errNoProvider):
			a.refuse(w, r, refusals, http.StatusServiceUnavailable, connect.NewError(connect.CodeUnavailable, errNoProvider))
		case err != nil:
			a.refuse(w, r, refusals, http.StatusUnauthorized, connect.NewError(connect.CodeUnauthenticated, err))
		case caller.Role < role:
			a.refuse(w, r, refusals, http.StatusForbidden, connect.NewError(connect.CodePermissionDenied,
				fmt.Errorf("this needs the role %s, and %s has the role %s", role, caller.Name, caller.Role)))
		default:
			mux.ServeHTTP(w, r.WithContext(With(r.Context(), caller)))
		}
	})
}

// refuse answers in the words of the protocol that was spoken.
func (a *Access) refuse(w http.ResponseWriter, r *http.Request, refusals *connect.ErrorWriter, status int, failure *connect.Error) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if status == http.StatusUnauthorized {
		challenge := `Bearer realm="amends"`
		if errors.Is(failure, errBadKey) {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	switch {
	case strings.HasPrefix(r.URL.Path, servicePath) && refusals.IsSupported(r):
		_ = refusals.Write(w, r, failure) // nobody is there to be told
	case status == http.StatusUnauthorized && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html"):
		http.Redirect(w, r, "/auth/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	default:
		http.Error(w, failure.Message(), status)
	}
}

// Policy is the Content-Security-Policy of what sets none of its own: everything
// comes from this host, and nobody may frame it.
const Policy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

func protect(h http.Header) {
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
