package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/amends-dev/amends/internal/loglimit"
)

// Config configures access control. The zero value gives programs on this machine full access, and
// all other callers no access.
type Config struct {
	// Tokens is the path of a token file, which is reloaded when it changes. NewToken creates lines
	// for it. Default: no tokens.
	Tokens string
	// OIDC is a trusted OpenID Connect provider. Default: none.
	OIDC OIDC
	// OpenMetrics serves /metrics without authentication, for a collector without a token.
	OpenMetrics bool
	// Open gives everybody who can reach the address all rights, except for backups and profiles.
	// It applies only if neither tokens nor OIDC are configured. Default: only programs on this
	// machine have access.
	Open bool
	// Hosts are additional host names and addresses, without a port, that requests may name. The
	// following are always allowed: localhost, loopback addresses, the address at which a request
	// arrives, the host of PublicURL, and the names in Certificate.
	Hosts []string
	// PublicURL is the URL at which browsers reach the coordinator, such as
	// https://sagas.example.com. An OIDC provider redirects to /auth/callback there. Default: none;
	// then an OIDC provider's bearer tokens are accepted, but browsers cannot log in at the
	// provider.
	PublicURL string
	// Certificate is the server's certificate. Default: none.
	Certificate *Certificate
	// Secure states that browsers use TLS although requests arrive without it, because a proxy
	// terminates TLS. Requests for the host of an https PublicURL always count as secure.
	Secure bool
	// Logger receives the log messages. Default: slog.Default().
	Logger *slog.Logger
	// Clock returns the time. Default: time.Now.
	Clock func() time.Time
}

// Enabled reports whether callers need to authenticate.
func (c *Config) Enabled() bool { return c.Tokens != "" || c.OIDC.Issuer != "" }

// Validate returns all errors in the configuration, joined.
func (c *Config) Validate() error {
	var errs []error
	if c.OIDC.Issuer != "" {
		errs = append(errs, c.OIDC.validate())
	} else if c.OIDC.ClientID != "" || c.OIDC.ClientSecret != "" {
		errs = append(errs, errors.New("oidc: client id or secret without an issuer; add the issuer"))
	}
	if c.OpenMetrics && !c.Enabled() {
		errs = append(errs, errors.New("open metrics: has no effect without authentication; configure tokens or an OIDC issuer, or omit it"))
	}
	return errors.Join(append(errs, c.validateHosts())...)
}

// Access authenticates and authorizes requests.
type Access struct {
	config   Config
	tokens   *tokens   // nil means none
	provider *provider // nil means none
	sessions *sessions
	logins   *logins
	limits   *limits
	hosts    *hosts
	limited  *slog.Logger // for messages that unauthenticated callers can trigger
}

// New returns an Access and reads the token file. The OIDC provider is contacted only when it is
// needed.
func New(c Config) (*Access, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	a := &Access{
		config: c, limits: newLimits(c.Clock),
		sessions: &sessions{clock: c.Clock, byID: map[digest]*session{}},
		logins:   newLogins(c.Clock),
		hosts:    newHosts(&c), limited: loglimit.Logger(c.Logger),
	}
	if c.OIDC.Issuer != "" {
		a.provider = newProvider(c.OIDC, c.PublicURL, c.Clock)
	}
	if c.Tokens != "" {
		t, err := openTokens(c.Tokens, c.Logger, c.Clock)
		if err != nil {
			return nil, err
		}
		a.tokens = t
	}
	return a, nil
}

var (
	errNoKey  = errors.New("authentication is required: send the header Authorization: Bearer <token>, or log in at /auth/login")
	errBadKey = errors.New("the token is not valid: it is unknown, expired, or for another audience; ask the coordinator's administrator for a new one")
)

// who returns the caller of a request.
func (a *Access) who(r *http.Request, way route) (Caller, error) {
	if !a.config.Enabled() {
		if a.config.Open && !way.here {
			return Caller{Role: RoleAdmin, Via: ViaAnonymous}, nil
		}
		return Caller{Role: RoleAdmin, Via: ViaAnonymous}, fromHere(r)
	}
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, key, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Caller{}, errNoKey
		}
		caller, _, err := a.check(r.Context(), strings.TrimSpace(key))
		return caller, err
	}
	cookie, err := r.Cookie(a.cookieName(r))
	if err != nil {
		return Caller{}, errNoKey
	}
	one, ok := a.sessions.find(cookie.Value)
	if !ok {
		return Caller{}, errNoKey
	}
	if one.token == (digest{}) {
		return one.caller, nil
	}
	// A session has the current rights of its token.
	entry, ok := a.findToken(one.token)
	if !ok {
		a.sessions.end(cookie.Value)
		return Caller{}, errBadKey
	}
	return entry.caller(), nil
}

func (a *Access) findToken(d digest) (tokenEntry, bool) {
	if a.tokens == nil {
		return tokenEntry{}, false
	}
	return a.tokens.find(d)
}

// check returns the caller that a token identifies, and the digest of the token unless it comes
// from the OIDC provider.
func (a *Access) check(ctx context.Context, key string) (Caller, digest, error) {
	if d, ok := digestOf(key); ok {
		if e, ok := a.findToken(d); ok {
			return e.caller(), d, nil
		}
		return Caller{}, d, errBadKey
	}
	if a.provider == nil || strings.Count(key, ".") != 2 {
		return Caller{}, digest{}, errBadKey
	}
	caller, err := a.provider.bearer(ctx, key)
	if errors.Is(err, errNoProvider) {
		a.limited.Error("a bearer token cannot be checked", slog.Any("error", err))
		return Caller{}, digest{}, errNoProvider
	}
	if err != nil {
		a.config.Logger.Debug("a bearer token was refused", slog.Any("error", err))
		return Caller{}, digest{}, fmt.Errorf("%w (%w)", errBadKey, err)
	}
	return caller, digest{}, nil
}

// secure reports whether the browser uses TLS, to this server or to a proxy in front of it.
func (a *Access) secure(r *http.Request) bool {
	return r.TLS != nil || a.config.Secure || a.hosts.public != "" && plainHost(r.Host) == a.hosts.public
}

// cookieName returns the name of the session cookie. With TLS, the name's prefix makes browsers
// accept the cookie only over TLS and from this host.
func (a *Access) cookieName(r *http.Request) string {
	if a.secure(r) {
		return "__Host-amends_session"
	}
	return "amends_session"
}
