// Package access authenticates and authorizes HTTP requests. It accepts tokens from a file, tokens
// of an OpenID Connect provider, and sessions of browsers that logged in with either kind of token.
//
//	request ──▶ Guard ── for an allowed host, from the same site? ── no ──▶ 403
//	              │
//	              ├── who? ──▶ token file · OIDC provider · session of a cookie · a program on this machine
//	              │                                                └─ nobody ──▶ 401, or the login page
//	              ├── has it the role that its route needs? (route.go) ── no ──▶ 403
//	              ├── is its body within the limit? ── no ──▶ 413
//	              ▼
//	        the mux, with the Caller in the context
//
// It does not know sagas. It does not guard the bus, which has its own users and permissions
// (docs/SECURITY-GUIDE.md). A route that is missing in route.go needs the role Admin and accepts no
// body, so that new routes are closed by default.
//
// If neither tokens nor OIDC are configured, programs on this machine are anonymous callers with
// the role Admin, and all others are refused. A request through a proxy on this machine, or for
// another host, counts as coming from elsewhere.
//
// Invariants: the memory used for unauthenticated callers, and the amount read from them, is
// limited (I10). Neither unauthenticated callers nor an OIDC provider that hangs delay other
// callers (I13). Tokens, cookies and passwords are never logged.
//
// A failure is reported as 401 or 403 in the protocol of the request (Connect, gRPC or text), with
// a suggested fix.
package access
