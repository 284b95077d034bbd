package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// splitListen splits host:port.
func splitListen(address string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(p)
	return host, port, err
}

// probe checks that an address can be listened on. Without this check, the embedded server would
// only time out, with a less helpful error.
func probe(ctx context.Context, setting, address string) error {
	l, err := listen(ctx, setting, address)
	if err != nil {
		return err
	}
	return l.Close()
}

// ListenError means that an address cannot be listened on.
type ListenError struct {
	Setting string // http or nats-listen
	Address string
	Err     error
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("%s %s: %v", e.Setting, e.Address, e.Err)
}

func (e *ListenError) Unwrap() error { return e.Err }

// Fix returns a suggestion for fixing the error.
func (e *ListenError) Fix() string {
	other := fmt.Sprintf("use another address with --%s, AMENDS_%s or the configuration file; port 0 picks a free port", e.Setting, strings.ToUpper(strings.ReplaceAll(e.Setting, "-", "_")))
	switch {
	case errors.Is(e.Err, syscall.EADDRINUSE):
		return "another process, perhaps another coordinator, listens there: stop it, or " + other
	case errors.Is(e.Err, syscall.EACCES):
		return "this user is not permitted to listen there, as usual for ports below 1024: " + other
	default:
		return other
	}
}

// listen listens on a configured address.
func listen(ctx context.Context, setting, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &ListenError{setting, address, err}
	}
	return l, nil
}

// loopback reports whether a host can be reached only from this machine.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// localAddress reports whether host:port can be reached only from this machine. It returns true for
// invalid addresses, which are reported elsewhere.
func localAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err != nil || loopback(host)
}

// checkURLs returns an error unless all entries of a list are URLs of NATS servers. The error does
// not quote the entries, because they may hold a password.
func checkURLs(urls string) error {
	if urls == "" {
		return nil
	}
	for i, s := range strings.Split(urls, ",") {
		u, err := natsURL(s)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return fmt.Errorf("entry %d of the list is not a NATS URL; write, for example, nats://nats.example.com:4222 (the scheme is nats, tls, ws or wss)", i+1)
		}
	}
	return nil
}

// natsURL parses the URL of a NATS server as the NATS client does.
func natsURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	return url.Parse(text)
}
