package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/amends-dev/amends/internal/masked"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

// serverFlags selects the coordinator that a command calls, and the credentials.
type serverFlags struct {
	Server  string        `env:"AMENDS_SERVER" placeholder:"URL" help:"The coordinator's API: its --http address. Default: the context's, or else http://127.0.0.1:8080."`
	Token   string        `env:"AMENDS_TOKEN" secret:"" placeholder:"TOKEN" help:"Bearer token; better in the environment, or in a file that a context names, than on the command line."`
	CA      string        `name:"ca" env:"AMENDS_CA" type:"path" placeholder:"FILE" help:"CA certificates to trust for https, PEM. Default: the system's."`
	Context string        `env:"AMENDS_CONTEXT" placeholder:"NAME" help:"Take server, token and ca from this context; see: coordinator context --help."`
	Plain   bool          `name:"plaintext-token" env:"AMENDS_PLAINTEXT_TOKEN" help:"Send the token to another machine without TLS; only over trusted networks."`
	Timeout time.Duration `default:"10s" env:"AMENDS_TIMEOUT" help:"How long to wait for the coordinator's answer."`
}

// callFlags are the flags of every command that calls a coordinator.
type callFlags struct {
	serverFlags
	outputFlag
}

const defaultServer = "http://127.0.0.1:8080"

// target is the coordinator to call, as determined by flags and context.
type target struct {
	server, token, ca string
	plain             bool // whether the token may be sent without TLS
}

// target returns the target of the flags, completed from the context.
func (f *serverFlags) target() (target, error) {
	t := target{f.Server, f.Token, f.CA, f.Plain}
	c, err := chosenContext(f.Context)
	if err != nil {
		return t, &exitError{code: ExitUsage, err: err, hint: "coordinator context list shows what there is"}
	}
	if c != nil && (t.server == "" || t.server == c.Server) { // a context's token is sent only to the context's server
		t.server, t.plain = c.Server, t.plain || c.Plain
		if t.ca == "" {
			t.ca = c.CA
		}
		if t.token == "" {
			if t.token, err = c.token(); err != nil {
				return t, &exitError{code: ExitUsage, err: err}
			}
		}
	}
	if t.server == "" {
		t.server = defaultServer
	}
	t.server = baseURL(t.server)
	switch u, err := url.Parse(t.server); {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return t, &exitError{code: ExitUsage, err: fmt.Errorf("server %q: write http://host:port or https://host:port", masked.URLs(t.server))}
	case u.RawQuery != "" || u.Fragment != "":
		return t, &exitError{code: ExitUsage, err: fmt.Errorf("server %q: write the address without a query (?) or fragment (#)", masked.URLs(t.server))}
	case u.User != nil:
		return t, &exitError{code: ExitUsage, err: fmt.Errorf("server %q: a coordinator does not accept user and password; give a token with --token, AMENDS_TOKEN or the token file of a context", masked.URLs(t.server))}
	}
	return t, nil
}

// inTheClear returns an error if the token would be sent without TLS to another machine.
func (t target) inTheClear() error {
	u, err := url.Parse(t.server)
	if err != nil || u.Scheme == "https" || t.token == "" || t.plain || t.here() {
		return nil
	}
	return &exitError{code: ExitUsage, err: fmt.Errorf("the token would be sent to %s without TLS, where others could read and use it", t.server),
		hint: "use https://…, or allow it on a trusted network with --plaintext-token"}
}

// here reports whether the server is on this machine.
func (t target) here() bool {
	u, err := url.Parse(t.server)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip.IsLoopback() || ip.IsUnspecified()
}

// transport returns an HTTP client for the target. No other code sends a token. The token is sent
// only over TLS or to this machine, unless the flags allow more, and never to the target of a
// redirect.
func (t target) transport() (*http.Client, error) {
	if err := t.inTheClear(); err != nil {
		return nil, err
	}
	standard, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("http.DefaultTransport is a %T", http.DefaultTransport)
	}
	trip := standard.Clone()
	if t.here() {
		trip.Proxy = nil // a proxy would resolve 0.0.0.0 to its own machine
	}
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, &exitError{code: ExitUsage, err: fmt.Errorf("--ca: %w", err)}
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, &exitError{code: ExitUsage, err: fmt.Errorf("--ca: %s holds no PEM certificate", t.ca)}
		}
		trip.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: bearer{answers{trip, t.server}, t.token}, CheckRedirect: noRedirect}, nil
}

// noRedirect refuses redirects: the API sends none, and the token is meant only for the named
// server.
func noRedirect(r *http.Request, _ []*http.Request) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf("the server redirects to %s; the token is not sent to a server that was not named", r.URL),
		hint: "if that is the coordinator, name that address with --server"}
}

// bearer adds the token to each request.
type bearer struct {
	next  http.RoundTripper
	token string
}

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}

type service = apiv1connect.CoordinatorServiceClient

// call runs ask with the API, and with a context that ends after the timeout (0 means never). While
// it waits for an answer, it prints what it waits for. It returns errors of the API with an exit
// code and a hint.
func (f *serverFlags) call(env *environment, timeout time.Duration, ask func(ctx context.Context, api service) error) error {
	if timeout > 0 {
		t, err := f.target()
		if err != nil {
			return err
		}
		defer env.waits("the answer of the coordinator at "+t.server, timeout)()
	}
	return f.hold(env, timeout, ask)
}

// waitsAfter is when waiting is first reported; waitsEvery is the interval of further reports.
var ( // shorter in tests
	waitsAfter = time.Second
	waitsEvery = 5 * time.Second
)

// waits prints to stderr what the command waits for, since when, and the timeout, until stop is
// called.
func (env *environment) waits(what string, most time.Duration) (stop func()) {
	began, done := time.Now(), make(chan struct{})
	var said sync.WaitGroup
	said.Go(func() {
		timer := time.NewTimer(waitsAfter)
		defer timer.Stop()
		for {
			select {
			case <-done:
				return
			case <-timer.C:
				env.stderr.Printf("waiting for %s, since %s, %s at most\n", what, began.Format(time.TimeOnly), most)
				timer.Reset(waitsEvery)
			}
		}
	})
	return func() { close(done); said.Wait() }
}

// hears is like waits, for an answer that arrives in parts. It cancels the context if no part
// arrives for the time most (0 means never). Each part is reported by calling heard.
func (env *environment) hears(ctx context.Context, what string, most time.Duration) (_ context.Context, heard, stop func()) {
	if most <= 0 {
		return ctx, func() {}, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var mu sync.Mutex
	quiet := env.waits(what, most)
	limit := time.AfterFunc(most, func() { cancel(context.DeadlineExceeded) })
	var spoke time.Time
	heard = func() {
		mu.Lock()
		defer mu.Unlock()
		if limit.Reset(most); time.Since(spoke) < waitsAfter {
			return
		}
		spoke = time.Now()
		quiet()
		quiet = env.waits(what, most)
	}
	return ctx, heard, func() {
		mu.Lock()
		defer mu.Unlock()
		limit.Stop()
		quiet()
		quiet = func() {}
		cancel(nil)
	}
}

// tooQuiet returns a deadline error if hears canceled the context.
func tooQuiet(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return connect.NewError(connect.CodeDeadlineExceeded, context.DeadlineExceeded)
	}
	return err
}

// hold is like call, without the messages about waiting. Its callers print their own.
func (f *serverFlags) hold(env *environment, timeout time.Duration, ask func(ctx context.Context, api service) error) error {
	ctx, cancel := context.WithCancel(env.ctx)
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(env.ctx, timeout)
	}
	defer cancel()
	t, err := f.target()
	if err != nil {
		return err
	}
	client, err := t.transport()
	if err != nil {
		return err
	}
	return refused(env.ctx, ask(ctx, apiv1connect.NewCoordinatorServiceClient(client, t.server)), t)
}

// refused converts an error of the API to an error with an exit code and a hint.
func refused(ctx context.Context, err error, t target) error {
	var remote *connect.Error
	var known *exitError
	var unsent *unsentError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known // without the library's wrapping
	case ctx.Err() != nil:
		return &exitError{code: ExitFailed, err: errors.New("cancelled before a reply arrived")}
	case !errors.As(err, &remote):
		return err
	case remote.Code() == connect.CodeUnavailable && !connect.IsWireError(err):
		return &exitError{code: ExitNotReachable, unsent: errors.As(err, &unsent), err: fmt.Errorf("no coordinator answers at %s: %s", t.server, remote.Message()),
			hint: "start one with: coordinator serve; or give its address with --server, AMENDS_SERVER or a context"}
	case remote.Code() == connect.CodeDeadlineExceeded:
		return &exitError{code: ExitNotReachable, err: fmt.Errorf("the coordinator at %s did not answer in time", t.server), hint: "try again, or allow more time with --timeout"}
	}
	return refusal(remote)
}

// prefixed prepends the attempted operation to an error, and keeps its exit code and hint.
func prefixed(what string, err error) error {
	var known *exitError
	if remote, ok := errors.AsType[*connect.Error](err); ok && !errors.As(err, &known) && connect.IsWireError(err) {
		err = refusal(remote) // refused handles errors of the connection, because it knows the server
	}
	if errors.As(err, &known) && known.err != nil {
		return &exitError{code: known.code, hint: known.hint, unsent: known.unsent, err: fmt.Errorf("%s: %w", what, known.err)}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// words joins a list for use in a sentence.
func words(list []string) string { return strings.Join(list, ", ") }
