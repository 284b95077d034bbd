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

// hosts are the names and addresses for which a server may be asked. The owner of a web page
// can have its name lead to an address of ours (DNS rebinding), and a browser then takes the
// two for one site; but the page asks for its own name.
type hosts struct {
	names       map[string]bool
	public      string       // for which browsers ask over TLS, whoever ends it; "": none
	certificate *Certificate // whose names are ours as well; nil: none
}

// newHosts takes names that were validated.
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
		return fmt.Errorf("http hosts: %q; write a host name or an address, without a port: sagas.example.com or 192.0.2.1", name)
	}
	return nil
}

// plainHost is the host of a Host header as it is compared: without its port, brackets
// and last dot, in lower case, an address in its shortest form.
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

// know reports whether a request asks for a host of ours.
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

// reached is the address of this machine at which a request arrived.
func reached(r *http.Request) string {
	to, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return ""
	}
	return plainHost(to.String())
}

// loopback reports whether a host can be reached from this machine only.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Headers of those who pass requests on, beside all that begin with X-Forwarded. What is
// missing here is taken for a program on this machine.
var forwarding = []string{
	"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For", "X-Original-Host", "X-Original-Url",
	"X-Envoy-External-Address", "X-Envoy-Internal", "True-Client-Ip", "Cf-Connecting-Ip", "Cdn-Loop", "Fastly-Client-Ip", "X-Proxyuser-Ip",
}

// remoteError refuses a request that only a program on this machine may make.
type remoteError struct{ how string }

func (e *remoteError) Error() string {
	return "nobody is asked for a key here, so this is for programs on this machine, and this request " + e.how +
		": ask directly, as localhost or 127.0.0.1, or have keys asked for (--tokens, --oidc-issuer); docs/SECURITY-GUIDE.md says what a proxy needs"
}

// fromHere returns nil for a request that a program on this machine made, to this
// machine. A proxy beside us comes from here too, but says for whom, asks for the host
// that it was asked for, or speaks HTTP/1.0, which programs do not any more.
func fromHere(r *http.Request) error {
	var passed string
	for name := range r.Header {
		if slices.Contains(forwarding, name) || strings.HasPrefix(name, "X-Forwarded") {
			passed = max(passed, name)
		}
	}
	switch {
	case !loopback(plainHost(r.RemoteAddr)):
		return &remoteError{"comes from another one"}
	case passed != "":
		return &remoteError{"came through a proxy: it has the header " + passed}
	case !r.ProtoAtLeast(1, 1):
		return &remoteError{"came through a proxy: it is HTTP/1.0"}
	case !loopback(plainHost(r.Host)):
		return &remoteError{fmt.Sprintf("asks for the host %.100q", r.Host)}
	}
	return nil
}

// hostError refuses a name that is not ours.
type hostError struct{ host string }

func (e *hostError) Error() string {
	return fmt.Sprintf("the host %.100q is none of this coordinator's: ask for the address at which it listens, or have it know the name (--http-hosts, --public-url)", e.host)
}

// validateHosts returns what is wrong with the names of a configuration.
func (c *Config) validateHosts() error {
	var errs []error
	for _, name := range c.Hosts {
		errs = append(errs, checkHost(name))
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(plainHost(u.Host))) {
			errs = append(errs, fmt.Errorf("public url: %q; write where browsers reach the coordinator: https://sagas.example.com", masked.URLs(c.PublicURL)))
		}
	}
	return errors.Join(errs...)
}
