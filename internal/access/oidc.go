package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/amends-dev/amends/internal/masked"
)

// OIDC is an OpenID Connect provider whose tokens are trusted.
type OIDC struct {
	// Issuer is the provider's URL, https unless it is on this machine. "": none.
	Issuer string
	// ClientID is how the provider knows the coordinator; required with Issuer.
	ClientID string
	// ClientSecret is the coordinator's password at the provider, if it has one.
	ClientSecret string
	// Audience that a bearer token must name. Default: ClientID.
	Audience string
	// RolesClaim names the claim with a caller's roles or groups, a list or a text
	// of words; dots lead into objects: realm_access.roles. Default: "roles".
	RolesClaim string
	// Roles say which role a value of the claim means. Default: viewer, operator
	// and admin mean themselves. The greatest one counts.
	Roles map[string]Role
	// NameClaim names the claim with the caller's name. It must be one that people
	// cannot choose themselves, because it becomes part of histories. Default:
	// email if it is verified, or else sub.
	NameClaim string
	// Transport carries the requests to the provider. Default: http.DefaultTransport.
	Transport http.RoundTripper
}

// algorithms that a signature may have: those with two keys. What the provider
// publishes is then no secret that could sign, and "none" is no signature.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

const (
	issuerLimit = 10 * time.Second // of one question to the provider, and of what a caller waits for all
	askAgain    = 5 * time.Second  // between two looks at a provider that does not answer
)

func (o *OIDC) validate() error {
	var errs []error
	u, err := url.Parse(o.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		errs = append(errs, fmt.Errorf("oidc issuer: %q is not the URL of a provider, such as https://login.example.com/realm", masked.URLs(o.Issuer)))
	case u.Scheme == "http" && !loopback(plainHost(u.Host)):
		errs = append(errs, fmt.Errorf("oidc issuer: %s is asked without TLS, and whoever is in between could sign for it; write https", masked.URLs(o.Issuer)))
	}
	if o.ClientID == "" {
		errs = append(errs, errors.New("oidc client id: is missing; the provider gives it when the coordinator is registered there"))
	}
	return errors.Join(errs...)
}

// errNoProvider: nobody can report whether a key is valid.
var errNoProvider = errors.New("the OIDC provider does not answer as one; try again later, and have its address looked at")

// provider asks an OIDC provider who somebody is. It is found when it is needed
// first, so that the coordinator starts without it. No lock is held while it is asked,
// and who waits for its answer waits for one question, for issuerLimit at most.
type provider struct {
	OIDC
	back   string // where it sends browsers back to
	client *http.Client
	clock  func() time.Time
	asking singleflight.Group

	mu    sync.Mutex
	found *oidc.Provider
	asked time.Time // when the last question ended
	err   error
}

func newProvider(o OIDC, public string, clock func() time.Time) *provider {
	if o.Audience == "" {
		o.Audience = o.ClientID
	}
	if o.RolesClaim == "" {
		o.RolesClaim = "roles"
	}
	if len(o.Roles) == 0 {
		o.Roles = map[string]Role{}
		for r, name := range roleNames {
			o.Roles[name] = r
		}
	}
	return &provider{OIDC: o, back: strings.TrimSuffix(public, "/") + "/auth/callback", client: &http.Client{Timeout: issuerLimit, Transport: o.Transport}, clock: clock}
}

func (p *provider) find(ctx context.Context) (*oidc.Provider, error) {
	if found, err, known := p.known(); known {
		return found, err
	}
	answer := p.asking.DoChan("", func() (any, error) {
		// Not the request's context: others wait for the answer, and the provider keeps it.
		found, err := oidc.NewProvider(oidc.ClientContext(context.Background(), p.client), p.Issuer)
		if err != nil {
			err = fmt.Errorf("%w: %w", errNoProvider, err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.found, p.err, p.asked = found, err, p.clock()
		return nil, nil //nolint:nilnil // known has the answer
	})
	select {
	case <-answer:
		found, err, _ := p.known()
		return found, err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", errNoProvider, ctx.Err())
	}
}

// known is what is known of the provider; false: nothing, or it has not answered for a
// while and is asked again.
func (p *provider) known() (*oidc.Provider, error, bool) { //nolint:revive // error is a part of what is known
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.found, p.err, p.found != nil || !p.asked.IsZero() && p.clock().Sub(p.asked) < askAgain
}

// bearer is the caller of a token that came with a request.
func (p *provider) bearer(ctx context.Context, raw string) (Caller, error) {
	ctx, cancel := context.WithTimeout(ctx, issuerLimit)
	defer cancel()
	token, err := p.verify(ctx, raw, p.Audience)
	if err != nil {
		return Caller{}, err
	}
	return p.caller(token)
}

func (p *provider) verify(ctx context.Context, raw, audience string) (*oidc.IDToken, error) {
	found, err := p.find(ctx)
	if err != nil {
		return nil, err
	}
	token, err := found.Verifier(&oidc.Config{ClientID: audience, SupportedSigningAlgs: algorithms, Now: p.clock}).Verify(ctx, raw)
	if err != nil && strings.Contains(err.Error(), "fetching keys") { // the library has no error of its own for it
		return nil, fmt.Errorf("%w: %w", errNoProvider, err)
	}
	return token, err
}

func (p *provider) caller(token *oidc.IDToken) (Caller, error) {
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return Caller{}, err
	}
	c := Caller{Via: ViaOIDC, Name: p.name(token, claims)}
	if err := checkName(c.Name); err != nil {
		return Caller{}, err
	}
	for _, value := range words(claim(claims, p.RolesClaim)) {
		c.Role = max(c.Role, p.Roles[value])
	}
	return c, nil
}

func (p *provider) name(token *oidc.IDToken, claims map[string]any) string {
	if p.NameClaim != "" {
		name, _ := claim(claims, p.NameClaim).(string)
		return name
	}
	email, _ := claims["email"].(string)
	if verified, _ := claims["email_verified"].(bool); verified && email != "" {
		return email
	}
	return token.Subject
}

// claim is a claim's value: under its whole name, or else along the dots.
func claim(claims map[string]any, name string) any {
	if v, ok := claims[name]; ok {
		return v
	}
	first, rest, _ := strings.Cut(name, ".")
	inner, ok := claims[first].(map[string]any)
	if !ok {
		return nil
	}
	return claim(inner, rest)
}

// words are the texts in a claim: a list, or one text with spaces between.
func words(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var out []string
		for _, one := range v {
			if s, ok := one.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

func (p *provider) oauth(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: found.Endpoint(),
		RedirectURL: p.back,
		Scopes:      []string{oidc.ScopeOpenID, "profile", "email"},
	}
}

// leave is the URL at the provider to which a browser goes to log in.
func (p *provider) leave(ctx context.Context, state, nonce, verifier string) (string, error) {
	found, err := p.find(ctx)
	if err != nil {
		return "", err
	}
	return p.oauth(found).AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), nil
}

// comeBack is the caller who comes back with a code.
func (p *provider) comeBack(ctx context.Context, code, nonce, verifier string) (Caller, error) {
	ctx, cancel := context.WithTimeout(ctx, issuerLimit) // the library asks a second time, in another way
	defer cancel()
	found, err := p.find(ctx)
	if err != nil {
		return Caller{}, err
	}
	answer, err := p.oauth(found).Exchange(oidc.ClientContext(ctx, p.client), code, oauth2.VerifierOption(verifier))
	if _, silent := errors.AsType[*url.Error](err); silent {
		return Caller{}, fmt.Errorf("%w: exchange the code: %w", errNoProvider, err)
	}
	if err != nil {
		return Caller{}, fmt.Errorf("exchange the code: %w", err)
	}
	raw, ok := answer.Extra("id_token").(string)
	if !ok {
		return Caller{}, errors.New("the provider gave no id_token")
	}
	token, err := p.verify(ctx, raw, p.ClientID)
	if err != nil {
		return Caller{}, err
	}
	if token.Nonce != nonce {
		return Caller{}, errors.New("the id_token was made for another login")
	}
	return p.caller(token)
}
