// Package access says who a request over HTTP comes from and whether it may pass:
// tokens from a file, tokens of an OpenID Connect provider, and browsers that have
// logged in with either.
//
//	request ──▶ Guard ── for a host of ours, from a page of ours? ── no ──▶ 403
//	              │
//	              ├── who? ──▶ token file · OIDC provider · session of a cookie · a program on this machine
//	              │                                                └─ nobody ──▶ 401, or the login page
//	              ├── which role does its way demand? (route.go) ── too small ──▶ 403
//	              ├── and how much of a body? ── more ──▶ 413
//	              ▼
//	        the mux, with the Caller in the context
//
// It does not know sagas, and it does not guard the bus: there the bus's own users
// and permissions do (docs/SECURITY-GUIDE.md). A way that route.go does not name
// demands the role Admin and reads no body, so that a new one is closed until somebody
// decides.
//
// Without a configuration programs on this machine are anonymous callers with the role
// Admin, and nobody else is let in: who comes through a proxy on this machine, or asks for
// another host, is no such program.
//
// Invariants: what is remembered of strangers, and read of what they send, is bounded
// (I10); a stranger, or a provider that does not answer, delays nobody else (I13); a
// token, a cookie and a password never reach a log.
//
// Failure looks like 401 or 403 in the words of the protocol that was spoken
// (Connect, gRPC, or text), with what would be right.
package access
