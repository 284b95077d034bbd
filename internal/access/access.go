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

// Config of who may pass. The zero value lets programs on this machine do everything,
// and nobody else anything.
type Config struct {
	// Tokens is the name of a token file (see NewToken for its lines). It is read
	// again when it changes. "": no tokens.
	Tokens string
	// OIDC is a provider whose tokens are trusted. The zero value: none.
	OIDC OIDC
	// OpenMetrics lets everybody read /metrics, for a collector without a key.
	OpenMetrics bool
	// Open lets whoever reaches the address do everything but take backups and profiles,
	// where nobody is asked for a key. Default: only programs on this machine.
	Open bool
	// Hosts are names and addresses, without a port, for which the server may be asked
	// beside these: localhost and loopback addresses, the address at which a request
	// arrives, the host of PublicURL, and the names in Certificate.
	Hosts []string
	// PublicURL is where browsers reach the coordinator, such as
	// https://sagas.example.com; an OIDC provider sends them back to /auth/callback there.
	// Default: nowhere else; of a provider, bearer tokens only are taken.
	PublicURL string
	// Certificate is the server's. Default: none.
	Certificate *Certificate
	// Secure says that browsers come over TLS although the requests do not, because
	// a proxy in front ends it. Those that ask for the host of an https PublicURL do.
	Secure bool
	// Logger. Default: slog.Default().
	Logger *slog.Logger
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
}

// Enabled reports whether anybody is asked for a key.
func (c *Config) Enabled() bool { return c.Tokens != "" || c.OIDC.Issuer != "" }

// Validate returns everything that is wrong with the configuration, joined.
func (c *Config) Validate() error {
	var errs []error
	if c.OIDC.Issuer != "" {
		errs = append(errs, c.OIDC.validate())
	} else if c.OIDC.ClientID != "" || c.OIDC.ClientSecret != "" {
		errs = append(errs, errors.New("oidc: a client is given, but no issuer to use it at"))
	}
	if c.OpenMetrics && !c.Enabled() {
		errs = append(errs, errors.New("open metrics: nothing is closed; give tokens or an OIDC issuer, or leave it out"))
	}
	return errors.Join(append(errs, c.validateHosts())...)
}

// Access knows who may pass.
type Access struct {
	config   Config
	tokens   *tokens   // nil: none
	provider *provider // nil: none
	sessions *sessions
	logins   *logins
	limits   *limits
	hosts    *hosts
	limited  *slog.Logger // for lines that strangers can cause
}

// New reads the token file. The OIDC provider is asked when it is needed first.
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
	errNoKey  = errors.New("a key is needed: send the header Authorization: Bearer <token>, or log in at /auth/login")
	errBadKey = errors.New("the key is not valid: unknown, changed, expired, or made for somebody else; ask whoever runs the coordinator for a new one")
)

// who finds out who makes a request.
func (a *Access) who(r *http.Request, way route) (Caller, error) {
	if !a.config.Enabled() {
		if a.config.Open && !way.here {
			return Caller{Role: Admin, Via: ViaAnonymous}, nil
		}
		return Caller{Role: Admin, Via: ViaAnonymous}, fromHere(r)
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
	// A session is worth what its token is worth now.
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

// check is who a key belongs to, with its digest if it is a token of the file.
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

// secure reports whether a request's browser speaks TLS, to us or to a proxy in front.
func (a *Access) secure(r *http.Request) bool {
	return r.TLS != nil || a.config.Secure || a.hosts.public != "" && plainHost(r.Host) == a.hosts.public
}

// cookieName is the session cookie's. Over TLS its name makes browsers insist that
// it came from this host, over TLS.
func (a *Access) cookieName(r *http.Request) string {
	if a.secure(r) {
		return "__Host-amends_session"
	}
	return "amends_session"
}
