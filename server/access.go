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

// validateAccess returns what is wrong with who may reach the HTTP address, and how.
func (c *Config) validateAccess() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	beyond := c.HTTP != "" && !localAddress(c.HTTP)
	asks := c.Access.Enabled()
	switch {
	case c.API != "" && c.API != APILocal && c.API != APIOff && c.API != APIInsecure:
		bad("api: %q; write local, off or insecure", c.API)
	case asks && c.API == APIInsecure:
		bad("api: insecure lets everybody in, and keys are configured; leave out one of the two")
	case beyond && !asks && (c.API == "" || c.API == APILocal):
		bad("http: %s can be reached from other machines, and nobody is asked for a key: listen on loopback (127.0.0.1:8080), "+
			"or ask for keys (tokens: FILE, or oidc-issuer: URL), or serve health and metrics only (api: off), "+
			"or say that only trusted networks reach it (api: insecure)", c.HTTP)
	case beyond && asks && c.TLSCert == "" && !c.Plaintext:
		bad("http: %s can be reached from other machines, and keys would pass in the clear: give a certificate (tls-cert, tls-key), "+
			"or, when a proxy in front ends TLS, say so (http-plaintext: true)", c.HTTP)
	}
	if !asks && (c.API == "" || c.API == APILocal) && (len(c.Access.Hosts) > 0 || c.Access.PublicURL != "") {
		bad("http hosts, public url: nobody is asked for a key, so that only programs on this machine are served, which need no such names: " +
			"ask for keys (tokens: FILE, or oidc-issuer: URL), or say that only trusted networks reach it (api: insecure)")
	}
	if c.Pprof && beyond && !asks {
		bad("pprof: profiles tell much, and at %s nobody is asked for a key: listen on loopback, ask for keys (tokens: FILE, or oidc-issuer: URL), or leave it out", c.HTTP)
	}
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		bad("tls: a certificate and its key are given together or not at all")
	case c.TLSCert != "" && c.HTTP == "":
		bad("tls: a certificate is given, but no http address to use it at")
	case c.TLSCert != "" && c.Plaintext:
		bad("http plaintext: a certificate is given as well; leave out one of the two")
	}
	errs = append(errs, c.Access.Validate())
	return errors.Join(errs...)
}

// validateListen returns what is wrong with who may reach the embedded server, and how.
func (n *NATS) validateListen() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	given := n.Users != "" || n.ListenCert != "" || n.ListenKey != "" || n.Open
	beyond := n.URL == "" && n.Listen != "" && !localAddress(n.Listen)
	switch {
	case n.URL != "" && given:
		bad("nats: users, a certificate or openness of the embedded server are given, but the messages go to %s; leave out one of the two", masked.URLs(n.URL))
	case beyond && !n.Open && (n.Users == "" || n.ListenCert == ""):
		bad("nats listen: %s can be reached from other machines, and whoever reaches the bus may answer for every service: "+
			"say who may (nats-users: FILE, see coordinator nats-permissions) and give a certificate (nats-listen-cert, nats-listen-key), "+
			"or listen on loopback, or say that only trusted networks reach it (nats-open: true)", n.Listen)
	}
	if (n.ListenCert == "") != (n.ListenKey == "") {
		bad("nats listen: a certificate and its key are given together or not at all")
	}
	return errors.Join(errs...)
}

// validateSecrets returns an error if a password or token would pass in the clear. Nkeys
// and credentials files prove who somebody is without sending a secret.
func (n *NATS) validateSecrets() error {
	encrypted, beyond, secret := n.CA != "" || n.Cert != "", "", n.Password != "" || n.Token != "" || n.Responder.Password != "" || n.Responder.Token != ""
	for one := range strings.SplitSeq(n.URL, ",") {
		u, err := natsURL(one)
		if err != nil {
			return nil // checkURLs says so
		}
		encrypted = encrypted || u.Scheme == "tls" || u.Scheme == "wss" // of one server, the client wants it of all
		secret = secret || u.User != nil
		if !loopback(u.Hostname()) && !net.ParseIP(u.Hostname()).IsUnspecified() {
			beyond = u.Host
		}
	}
	if n.Plaintext || encrypted || !secret || beyond == "" {
		return nil
	}
	return fmt.Errorf("the password would pass to %s in the clear, if the server does not insist on TLS: write tls://%s, or name who is to be trusted (nats-ca), "+
		"or give an nkey or credentials instead, which are never sent, or say that only trusted networks lie between (nats-plaintext: true)", beyond, beyond)
}

// certificate reads one of a server; nil: there is none.
func certificate(cert, key string, logger *slog.Logger) (*access.Certificate, error) {
	if cert == "" {
		return nil, nil //nolint:nilnil // no file, no certificate
	}
	return access.LoadCertificate(cert, key, logger)
}
