package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/internal/masked"
)

// validateAccess returns all errors in the access settings of the HTTP address.
func (c *Config) validateAccess() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	beyond := c.HTTP != "" && !localAddress(c.HTTP)
	asks := c.Access.Enabled()
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
	errs = append(errs, c.Access.Validate())
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
	encrypted, beyond, secret := n.CA != "" || n.Cert != "", "", n.Password != "" || n.Token != "" || n.Responder.Password != "" || n.Responder.Token != ""
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
	return fmt.Errorf("the password could be sent to %s without TLS: use tls://%s, or configure a CA (nats-ca), "+
		"or use an nkey or a credentials file, which send no secret, or allow it on a trusted network (nats-plaintext: true)", beyond, beyond)
}

// certificate loads a server's certificate, or returns nil if none is configured.
func certificate(cert, key string, logger *slog.Logger) (*access.Certificate, error) {
	if cert == "" {
		return nil, nil //nolint:nilnil // no file, no certificate
	}
	return access.LoadCertificate(cert, key, logger)
}
