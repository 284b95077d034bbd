package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"
)

type healthCmd struct {
	httpFlags
	Live    bool          `help:"Ask whether the process is alive instead of whether it takes work."`
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer."`
}

// Run asks a coordinator whether it is healthy.
func (c *healthCmd) Run(env *environment) error {
	path := "/readyz"
	if c.Live {
		path = "/livez"
	}
	client, base, err := c.reach()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(env.ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	response, err := client.Do(request)
	if err != nil {
		return &exitError{code: ExitNotReachable, err: err, hint: "does the coordinator run with --http there?"}
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "text/plain" || response.StatusCode == http.StatusNotFound {
		return &exitError{code: ExitNotReachable, err: fmt.Errorf("what answers at %s is not a coordinator: it says %s, with content type %q", base, response.Status, kind), hint: "give the address of a coordinator's --http with --http"}
	}
	if response.StatusCode != http.StatusOK {
		return &exitError{code: ExitFailed, err: errors.New(strings.TrimSpace(string(body)))}
	}
	for line := range strings.Lines(string(body)) {
		env.stdout.Printf("%s\n", strings.TrimSuffix(line, "\n"))
	}
	return nil
}

// baseURL makes the URL of an address a server listens on: one that listens
// everywhere is asked on loopback.
func baseURL(address string) string {
	if strings.Contains(address, "://") {
		return strings.TrimSuffix(address, "/")
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
