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
	Live    bool          `help:"Check whether the process is alive instead of whether it is ready."`
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer."`
}

// Run checks whether a coordinator is healthy.
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
		return &exitError{code: ExitNotReachable, err: err, hint: "check that a coordinator runs with this --http address"}
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "text/plain" || response.StatusCode == http.StatusNotFound {
		return &exitError{code: ExitNotReachable, err: fmt.Errorf("the server at %s is not a coordinator: it answered %s with content type %q", base, response.Status, kind), hint: "set --http to the --http address of a coordinator"}
	}
	if response.StatusCode != http.StatusOK {
		return &exitError{code: ExitFailed, err: errors.New(strings.TrimSpace(string(body)))}
	}
	for line := range strings.Lines(string(body)) {
		env.stdout.Printf("%s\n", strings.TrimSuffix(line, "\n"))
	}
	return nil
}

// baseURL returns the URL for a listen address. It replaces an unspecified host with loopback.
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
