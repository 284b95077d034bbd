package server

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/internal/masked"
)

// Access configures who may use the HTTP address. With the zero value, callers need no key.
type Access struct {
	// Tokens names a file of access tokens, which is reloaded when it changes. The command
	// "coordinator token create" prints lines for it. Default: no tokens.
	Tokens string
	// OIDC is a trusted OpenID Connect provider. Default: none.
	OIDC OIDC
	// OpenMetrics serves /metrics without a key, for a collector that has none. It requires Tokens or
	// OIDC. Default: false.
	OpenMetrics bool
	// Hosts are additional host names and addresses, without a port, that requests may name. Always
	// allowed are localhost, loopback addresses, Config.HTTP, the address at which a request arrives,
	// the host of PublicURL, and the names in Config.TLSCert. Default: none.
	Hosts []string
	// PublicURL is the URL at which browsers reach the server, such as https://sagas.example.com. An
	// OIDC provider redirects to /auth/callback there. Default: none; an OIDC provider's bearer
	// tokens are accepted, but browsers cannot log in at the provider.
	PublicURL string
}

// OIDC configures a trusted OpenID Connect provider.
type OIDC struct {
	// Issuer is the provider's URL. It must be https unless it is on this machine. Default: none, no
	// provider is trusted.
	Issuer string
	// ClientID is the server's client id at the provider. It is required with Issuer.
	ClientID string
	// ClientSecret is the server's client secret at the provider. Default: none.
	ClientSecret string
	// Audience is the audience that a bearer token must name. Default: ClientID.
	Audience string
	// RolesClaim names the claim that holds a caller's roles or groups, either as a list or as a
	// string of words. A dot selects a field of an object: realm_access.roles. Default: "roles".
	RolesClaim string
	// Roles maps values of the claim to roles; the highest role counts. Default: the names of the
	// roles map to these roles.
	Roles map[string]Role
	// NameClaim names the claim that holds the caller's name. Users must not be able to choose the
	// name, because histories record it. Default: email if it is verified, or else sub.
	NameClaim string
	// Transport sends the requests to the provider. Default: http.DefaultTransport.
	Transport http.RoundTripper
}

// Role determines what a caller may do. Each role includes the rights of the roles before it.
type Role string

// The roles.
const (
	RoleViewer   Role = "viewer"   // read: sagas with their payloads, definitions, dead letters, metrics
	RoleOperator Role = "operator" // start sagas, and take decisions about them
	RoleAdmin    Role = "admin"    // register definitions, manage dead letters, take backups and profiles
)

// config converts the settings for package access. It leaves out roles that do not exist, which
// validateAccess reports.
func (a *Access) config() access.Config {
	o := access.OIDC{
		Issuer:       a.OIDC.Issuer,
		ClientID:     a.OIDC.ClientID,
		ClientSecret: a.OIDC.ClientSecret,
		Audience:     a.OIDC.Audience,
		RolesClaim:   a.OIDC.RolesClaim,
		Roles:        map[string]access.Role{},
		NameClaim:    a.OIDC.NameClaim,
		Transport:    a.OIDC.Transport,
	}
	for value, name := range a.OIDC.Roles {
		if role, err := access.ParseRole(string(name)); err == nil {
			o.Roles[value] = role
		}
	}
	return access.Config{Tokens: a.Tokens, OIDC: o, OpenMetrics: a.OpenMetrics, Hosts: a.Hosts, PublicURL: a.PublicURL}
}

// validateAccess returns all errors in the access settings of the HTTP address.
func (c *Config) validateAccess() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	beyond := c.HTTP != "" && !localAddress(c.HTTP)
	who := c.Access.config()
	asks := who.Enabled()
	switch {
	case c.API != "" && c.API != APILocal && c.API != APIOff && c.API != APIInsecure:
		bad("api: %q; write local, off or insecure", c.API)
	case asks && c.API == APIInsecure:
		bad("api: insecure disables authentication, but tokens or OIDC are configured; remove one of the two")
	case beyond && !asks && (c.API == "" || c.API == APILocal):
		bad("http: %s can be reached from other machines without authentication: listen on loopback (127.0.0.1:8080),  "+
			"or configure authentication (tokens: FILE, or oidc-issuer: URL), or serve health and metrics only (api: off), "+
			"or allow it on a trusted network (api: insecure)", c.HTTP)
	case beyond && asks && c.TLSCert == "" && !c.Plaintext:
		bad("http: %s can be reached from other machines, and tokens would be sent without TLS: configure a certificate (tls-cert, tls-key), "+
			"or, if a proxy terminates TLS, set http-plaintext: true", c.HTTP)
	}
	if !asks && (c.API == "" || c.API == APILocal) && (len(c.Access.Hosts) > 0 || c.Access.PublicURL != "") {
		bad("http hosts, public url: without authentication only programs on this machine have access, and they do not use these names: " +
			"configure authentication (tokens: FILE, or oidc-issuer: URL), or allow a trusted network (api: insecure)")
	}
	if c.Pprof && beyond && !asks {
		bad("pprof: profiles would be readable at %s without authentication: listen on loopback, configure authentication (tokens: FILE, or oidc-issuer: URL), or turn pprof off", c.HTTP)
	}
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		bad("tls: give both tls-cert and tls-key, or neither")
	case c.TLSCert != "" && c.HTTP == "":
		bad("tls: a certificate without an http address; add one, or remove the certificate")
	case c.TLSCert != "" && c.Plaintext:
		bad("http plaintext: cannot be combined with a certificate; remove one of the two")
	}
	for _, value := range slices.Sorted(maps.Keys(c.Access.OIDC.Roles)) {
		if _, err := access.ParseRole(string(c.Access.OIDC.Roles[value])); err != nil {
			bad("oidc roles: the value %q of the claim: %w", value, err)
		}
	}
	errs = append(errs, who.Validate())
	return errors.Join(errs...)
}

// validateListen returns all errors in the access settings of the embedded NATS server.
func (n *NATS) validateListen() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	given := n.Users != "" || n.ListenCert != "" || n.ListenKey != "" || n.Open
	beyond := n.URL == "" && n.Listen != "" && !localAddress(n.Listen)
	switch {
	case n.URL != "" && given:
		bad("nats: settings of the embedded server (users, certificate, nats-open) cannot be combined with the external server %s; remove one of the two", masked.URLs(n.URL))
	case beyond && !n.Open && (n.Users == "" || n.ListenCert == ""):
		bad("nats listen: %s can be reached from other machines, and everybody who reaches it could answer for any participant: "+
			"configure users (nats-users: FILE, see coordinator nats-permissions) and a certificate (nats-listen-cert, nats-listen-key), "+
			"or listen on loopback, or allow it on a trusted network (nats-open: true)", n.Listen)
	}
	if (n.ListenCert == "") != (n.ListenKey == "") {
		bad("nats listen: give both nats-listen-cert and nats-listen-key, or neither")
	}
	return errors.Join(errs...)
}

// validateSecrets returns an error if a password or token would be sent without TLS. Nkeys and
// credentials files do not transmit a secret.
func (n *NATS) validateSecrets() error {
	encrypted, beyond := n.CAFile != "" || n.CertFile != "", ""
	secret := n.Credentials.Password != "" || n.Credentials.Token != "" || n.Responder.Password != "" || n.Responder.Token != ""
	for one := range strings.SplitSeq(n.URL, ",") {
		u, err := natsURL(one)
		if err != nil {
			return nil // checkURLs reports it
		}
		encrypted = encrypted || u.Scheme == "tls" || u.Scheme == "wss" // one TLS URL makes the client use TLS for all URLs
		secret = secret || u.User != nil
		if !loopback(u.Hostname()) && !net.ParseIP(u.Hostname()).IsUnspecified() {
			beyond = u.Host
		}
	}
	if n.Plaintext || encrypted || !secret || beyond == "" {
		return nil
	}
	return fmt.Errorf("the password or token could be sent to %s without TLS: use tls://%s, or configure a CA (nats-ca), "+
		"or use an nkey or a credentials file, which send no secret, or allow it on a trusted network (nats-plaintext: true)", beyond, beyond)
}

// certificate loads a server's certificate, or returns nil if none is configured.
func certificate(cert, key string, logger *slog.Logger) (*access.Certificate, error) {
	if cert == "" {
		return nil, nil //nolint:nilnil // no file, no certificate
	}
	return access.LoadCertificate(cert, key, logger)
}
