// Package access says who a request over HTTP comes from and whether it may pass:
// tokens from a file, tokens of an OpenID Connect provider, and browsers that have
// logged in with either.
//
//	request ──▶ Guard ── who? ──▶ token file · OIDC provider · session of a cookie
//	              │
//	              ├── which role does the way demand? (route.go) ── too small ──▶ 403
//	              ▼                                              └─ nobody ──▶ 401, or the login page
//	        the mux, with the Caller in the context
//
// It does not know sagas, and it does not guard the bus: there the bus's own users
// and permissions do (docs/SECURITY-GUIDE.md). A way that route.go does not name
// demands the role Admin, so that a new one is closed until somebody decides.
//
// Without a configuration everybody is an anonymous caller with the role Admin; the
// daemon allows that on loopback only.
//
// Invariants: what is remembered of strangers is bounded (I10); a token, a cookie
// and a password never reach a log.
//
// Failure looks like 401 or 403 in the words of the protocol that was spoken
// (Connect, gRPC, or text), with what would be right.
package access
