package access

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/amends-dev/amends/internal/masked"
)

// hosts holds the names and addresses that requests may name in their Host header. Checking the
// header prevents DNS rebinding: a web page can make its own host name resolve to this server, but
// its requests then carry that name.
type hosts struct {
	names       map[string]bool
	public      string       // host that browsers reach over TLS, possibly through a proxy; "" means none
	certificate *Certificate // its names are allowed as well; may be nil
}

// newHosts returns the allowed hosts of a validated configuration.
func newHosts(c *Config) *hosts {
	h := &hosts{names: map[string]bool{"localhost": true}, certificate: c.Certificate}
	for _, name := range c.Hosts {
		h.names[plainHost(name)] = true
	}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Host != "" {
		h.names[plainHost(u.Host)] = true
		if u.Scheme == "https" {
			h.public = plainHost(u.Host)
		}
	}
	return h
}

// checkHost returns an error unless name is a host name or an address, without a port.
func checkHost(name string) error {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return nil
	}
	if strings.Trim(name, ".") == "" || len(name) > 253 || strings.ContainsFunc(name, odd) {
		return fmt.Errorf("http hosts: %q is not a host name or address; write it without a port: sagas.example.com or 192.0.2.1", name)
	}
	return nil
}

// plainHost normalizes a Host header for comparison. It removes port, brackets and trailing dot,
// converts to lower case, and shortens addresses.
func plainHost(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return host
}

// know reports whether a request names an allowed host.
func (h *hosts) know(r *http.Request) bool {
	host := plainHost(r.Host)
	switch {
	case host == "":
		return false
	case h.names[host], loopback(host), host == reached(r):
		return true
	}
	return h.certificate != nil && h.certificate.current().Leaf.VerifyHostname(host) == nil
}

// reached returns the local address at which a request arrived.
func reached(r *http.Request) string {
	to, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return ""
	}
	return plainHost(to.String())
}

// loopback reports whether a host can be reached only from this machine.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// forwarding lists headers that proxies add, besides X-Forwarded-*. A proxy that adds none of them
// cannot be distinguished from a program on this machine.
var forwarding = []string{
	"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For", "X-Original-Host", "X-Original-Url",
	"X-Envoy-External-Address", "X-Envoy-Internal", "True-Client-Ip", "Cf-Connecting-Ip", "Cdn-Loop", "Fastly-Client-Ip", "X-Proxyuser-Ip",
}

// remoteError is the error for a request that does not come from a program on this machine.
type remoteError struct{ how string }

func (e *remoteError) Error() string {
	return "without authentication only programs on this machine have access, and this request " + e.how +
		": connect directly to localhost or 127.0.0.1, or configure authentication (--tokens, --oidc-issuer); docs/SECURITY-GUIDE.md explains the setup of proxies"
}

// fromHere returns nil for a request that a program on this machine sent directly. A proxy on this
// machine connects from here too, but it adds headers, names another host, or uses HTTP/1.0, which
// programs no longer use.
func fromHere(r *http.Request) error {
	var passed string
	for name := range r.Header {
		if slices.Contains(forwarding, name) || strings.HasPrefix(name, "X-Forwarded") {
			passed = max(passed, name)
		}
	}
	switch {
	case !loopback(plainHost(r.RemoteAddr)):
		return &remoteError{"comes from another machine"}
	case passed != "":
		return &remoteError{"came through a proxy: it has the header " + passed}
	case !r.ProtoAtLeast(1, 1):
		return &remoteError{"came through a proxy: it is HTTP/1.0"}
	case !loopback(plainHost(r.Host)):
		return &remoteError{fmt.Sprintf("names the host %.100q", r.Host)}
	}
	return nil
}

// hostError is the error for an unknown host.
type hostError struct{ host string }

func (e *hostError) Error() string {
	return fmt.Sprintf("the host %.100q is not known to this coordinator: use its listen address, or allow the name with --http-hosts or --public-url", e.host)
}

// validateHosts returns all errors in the configured names.
func (c *Config) validateHosts() error {
	var errs []error
	for _, name := range c.Hosts {
		errs = append(errs, checkHost(name))
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(plainHost(u.Host))) {
			errs = append(errs, fmt.Errorf("public url: %q is not the https URL of the coordinator; write, for example, https://sagas.example.com", masked.URLs(c.PublicURL)))
		}
	}
	return errors.Join(errs...)
}
