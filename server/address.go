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
func probe(ctx context.Context, setting, address string) error {
	l, err := listen(ctx, setting, address)
	if err != nil {
		return err
	}
	return l.Close()
}

// ListenError says that an address of the configuration cannot be listened on.
type ListenError struct {
	Setting string // http or nats-listen
	Address string
	Err     error
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("%s %s: %v", e.Setting, e.Address, e.Err)
}

func (e *ListenError) Unwrap() error { return e.Err }

// Fix says what to do about it.
func (e *ListenError) Fix() string {
	other := fmt.Sprintf("give another address with --%s, AMENDS_%s or the configuration file; port 0 takes a free one", e.Setting, strings.ToUpper(strings.ReplaceAll(e.Setting, "-", "_")))
	switch {
	case errors.Is(e.Err, syscall.EADDRINUSE):
		return "another process listens there, perhaps another coordinator: stop that one, or " + other
	case errors.Is(e.Err, syscall.EACCES):
		return "this user may not listen there, as on most ports below 1024: " + other
	default:
		return other
	}
}

// listen listens on an address of the configuration.
func listen(ctx context.Context, setting, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &ListenError{setting, address, err}
	}
	return l, nil
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

// checkURLs returns an error unless every part of a list is the address of a NATS
// server. It does not repeat the part, which may hold a password.
func checkURLs(urls string) error {
	if urls == "" {
		return nil
	}
	for i, s := range strings.Split(urls, ",") {
		u, err := natsURL(s)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return fmt.Errorf("number %d of the list is no address of a NATS server; give such as nats://nats.example.com:4222 (nats, tls, ws or wss)", i+1)
		}
	}
	return nil
}

// natsURL reads one of a list of addresses of NATS servers, as the client does.
func natsURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	return url.Parse(text)
}
