package cli

import (
	"fmt"
	"strings"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/server"
)

// accessFlags configures TLS, access control and host names of the HTTP address.
type accessFlags struct {
	TLSCert   string `name:"tls-cert" env:"AMENDS_TLS_CERT" type:"path" placeholder:"FILE" help:"Serve --http over TLS with this certificate, PEM; read again when it changes."`
	TLSKey    string `name:"tls-key" env:"AMENDS_TLS_KEY" type:"path" placeholder:"FILE" help:"Key of --tls-cert, PEM."`
	Plaintext bool   `name:"http-plaintext" env:"AMENDS_HTTP_PLAINTEXT" help:"Accept credentials from other machines without TLS; only behind a proxy that terminates TLS."`

	Hosts string `name:"http-hosts" env:"AMENDS_HTTP_HOSTS" placeholder:"NAME,…" help:"Additional values to accept in the Host header of requests to --http. Always allowed: localhost, loopback, the address itself, the host of --public-url, the names in --tls-cert."`

	Tokens      string `env:"AMENDS_TOKENS" type:"path" placeholder:"FILE" help:"File of access tokens (coordinator token create); read again when it changes."`
	Redact      string `env:"AMENDS_REDACT" placeholder:"FIELD,…" help:"JSON fields whose values the API, command line and console hide."`
	OpenMetrics bool   `name:"open-metrics" env:"AMENDS_OPEN_METRICS" help:"Serve /metrics without authentication."`

	OIDCIssuer       string `name:"oidc-issuer" env:"AMENDS_OIDC_ISSUER" placeholder:"URL" help:"OpenID Connect provider whose tokens are accepted."`
	OIDCClientID     string `name:"oidc-client-id" env:"AMENDS_OIDC_CLIENT_ID" help:"The coordinator's client id at the provider."`
	OIDCClientSecret string `name:"oidc-client-secret" env:"AMENDS_OIDC_CLIENT_SECRET" secret:"" help:"The coordinator's client secret at the provider; better in the environment than on the command line."`
	OIDCAudience     string `name:"oidc-audience" env:"AMENDS_OIDC_AUDIENCE" help:"Audience that bearer tokens must name. Default: the client id."`
	OIDCRolesClaim   string `name:"oidc-roles-claim" env:"AMENDS_OIDC_ROLES_CLAIM" default:"roles" help:"Claim that holds a caller's roles or groups; a dot descends into an object."`
	OIDCRoles        string `name:"oidc-roles" env:"AMENDS_OIDC_ROLES" default:"viewer=viewer,operator=operator,admin=admin" placeholder:"VALUE=ROLE,…" help:"Map values of the claim to roles."`
	OIDCNameClaim    string `name:"oidc-name-claim" env:"AMENDS_OIDC_NAME_CLAIM" help:"Claim that holds a caller's name, which histories record. Default: email if verified, or else sub."`
	PublicURL        string `name:"public-url" env:"AMENDS_PUBLIC_URL" placeholder:"URL" help:"URL at which browsers reach the coordinator. The OIDC provider redirects to it, and requests may name its host."`
}

// config converts the flags to a server.Access.
func (f *accessFlags) config() (server.Access, error) {
	c := server.Access{Tokens: f.Tokens, OpenMetrics: f.OpenMetrics, PublicURL: f.PublicURL, Hosts: list(f.Hosts), OIDC: server.OIDC{
		Issuer: f.OIDCIssuer, ClientID: f.OIDCClientID, ClientSecret: f.OIDCClientSecret,
		Audience: f.OIDCAudience, RolesClaim: f.OIDCRolesClaim, NameClaim: f.OIDCNameClaim, Roles: map[string]server.Role{},
	}}
	for pair := range strings.SplitSeq(f.OIDCRoles, ",") {
		value, name, ok := strings.Cut(strings.TrimSpace(pair), "=")
		_, err := access.ParseRole(name)
		if !ok || value == "" || err != nil {
			return c, fmt.Errorf("--oidc-roles: %q is not value=role; write, for example, saga-admins=admin, with viewer, operator or admin", pair)
		}
		c.OIDC.Roles[value] = server.Role(name)
	}
	return c, nil
}

// list splits words at commas and spaces.
func list(words string) []string {
	return strings.FieldsFunc(words, func(r rune) bool { return r == ',' || r == ' ' })
}
