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

// OIDC configures a trusted OpenID Connect provider.
type OIDC struct {
	// Issuer is the provider's URL. It must be https unless it is on this machine. Default: none.
	Issuer string
	// ClientID is the coordinator's client id at the provider. It is required with Issuer.
	ClientID string
	// ClientSecret is the coordinator's client secret, if it has one.
	ClientSecret string
	// Audience is the audience that a bearer token must name. Default: ClientID.
	Audience string
	// RolesClaim names the claim that holds a caller's roles or groups, either as a list or as a
	// string of words. A dot selects a field of an object: realm_access.roles. Default: "roles".
	RolesClaim string
	// Roles maps values of the claim to roles; the highest role counts. Default: viewer, operator
	// and admin map to the roles with these names.
	Roles map[string]Role
	// NameClaim names the claim that holds the caller's name. Users must not be able to choose the
	// name, because histories record it. Default: email if it is verified, or else sub.
	NameClaim string
	// Transport sends the requests to the provider. Default: http.DefaultTransport.
	Transport http.RoundTripper
}

// algorithms lists the accepted signature algorithms. All are asymmetric: otherwise the provider's
// public key could be used as a shared secret to sign a token. "none" is refused.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

const (
	issuerLimit = 10 * time.Second // for one request to the provider, and for the total wait of one caller
	askAgain    = 5 * time.Second  // between two attempts to reach the provider
)

func (o *OIDC) validate() error {
	var errs []error
	u, err := url.Parse(o.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		errs = append(errs, fmt.Errorf("oidc issuer: %q is not the URL of a provider, such as https://login.example.com/realm", masked.URLs(o.Issuer)))
	case u.Scheme == "http" && !loopback(plainHost(u.Host)):
		errs = append(errs, fmt.Errorf("oidc issuer: %s is not https: others on the network could forge tokens; use https", masked.URLs(o.Issuer)))
	}
	if o.ClientID == "" {
		errs = append(errs, errors.New("oidc client id: is missing; register the coordinator with the provider to get one"))
	}
	return errors.Join(errs...)
}

// errNoProvider means that a token cannot be checked because the provider does not answer.
var errNoProvider = errors.New("the OIDC provider does not answer, or its answer is not valid; try again later, or check --oidc-issuer")

// provider verifies callers with an OIDC provider. The provider is discovered on first use, so that
// the coordinator can start without it. No lock is held during a request to the provider.
// Concurrent callers share one request, and wait at most issuerLimit.
type provider struct {
	OIDC
	back   string // redirect URL
	client *http.Client
	clock  func() time.Time
	asking singleflight.Group

	mu    sync.Mutex
	found *oidc.Provider
	asked time.Time // when the last discovery finished
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
		// The request's context is not used, because other requests share the result.
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

// known returns the result of the last discovery. It returns false if there is none, or if the
// discovery failed at least askAgain ago and should be retried.
func (p *provider) known() (*oidc.Provider, error, bool) { //nolint:revive // error is a part of what is known
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.found, p.err, p.found != nil || !p.asked.IsZero() && p.clock().Sub(p.asked) < askAgain
}

// bearer returns the caller that a bearer token identifies.
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
	if err != nil && strings.Contains(err.Error(), "fetching keys") { // the library has no typed error for this
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

// claim returns the value of a claim. It looks for the full name first, and then descends at dots.
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

// words returns the strings in a claim, which is a list or a string of words.
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

// leave returns the URL of the provider at which a browser logs in.
func (p *provider) leave(ctx context.Context, state, nonce, verifier string) (string, error) {
	found, err := p.find(ctx)
	if err != nil {
		return "", err
	}
	return p.oauth(found).AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), nil
}

// comeBack returns the caller for the authorization code of a completed login.
func (p *provider) comeBack(ctx context.Context, code, nonce, verifier string) (Caller, error) {
	ctx, cancel := context.WithTimeout(ctx, issuerLimit) // the library may send a second request
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
		return Caller{}, errors.New("the provider returned no id_token")
	}
	token, err := p.verify(ctx, raw, p.ClientID)
	if err != nil {
		return Caller{}, err
	}
	if token.Nonce != nonce {
		return Caller{}, errors.New("the id_token was issued for another login")
	}
	return p.caller(token)
}
