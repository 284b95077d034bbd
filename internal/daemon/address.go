package daemon

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// splitListen reads host:port.
func splitListen(address string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(p)
	return host, port, err
}

// probe says at once why an address cannot be listened on; the embedded server
// would take ten seconds to say less.
func probe(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// loopback reports whether a host can be reached from this machine only.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// localAddress reports whether host:port can be reached from this machine only.
// What is no address is reported elsewhere.
func localAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err != nil || loopback(host)
}

// redact hides the passwords in a list of URLs.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, s := range list {
		if u, err := url.Parse(strings.TrimSpace(s)); err == nil && u.User != nil {
			list[i] = u.Redacted()
		}
	}
	return strings.Join(list, ",")
}
