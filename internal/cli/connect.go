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

// serverFlags say which coordinator a command asks.
type serverFlags struct {
	Server  string        `env:"AMENDS_SERVER" placeholder:"URL" help:"The coordinator's API: its --http address. Default: the context's, or else http://127.0.0.1:8080."`
	Token   string        `env:"AMENDS_TOKEN" secret:"" placeholder:"TOKEN" help:"Bearer token; better in the environment, or in a file that a context names, than on the command line."`
	CA      string        `name:"ca" env:"AMENDS_CA" type:"path" placeholder:"FILE" help:"Certificates of the authorities to trust for https, PEM. Default: the system's."`
	Context string        `env:"AMENDS_CONTEXT" placeholder:"NAME" help:"Take server, token and ca from this context; see: coordinator context --help."`
	Plain   bool          `name:"plaintext-token" env:"AMENDS_PLAINTEXT_TOKEN" help:"Send the token to a server beyond this machine without TLS, because only trusted networks lie between."`
	Timeout time.Duration `default:"10s" env:"AMENDS_TIMEOUT" help:"How long to wait for the coordinator's answer."`
}

// callFlags are what every command that asks a coordinator takes.
type callFlags struct {
	serverFlags
	outputFlag
}

const defaultServer = "http://127.0.0.1:8080"

// target is where to ask, as it was found out.
type target struct {
	server, token, ca string
	plain             bool // the token may pass in the clear
}

// target takes what the flags leave open from the context.
func (f *serverFlags) target() (target, error) {
	t := target{f.Server, f.Token, f.CA, f.Plain}
	c, err := chosenContext(f.Context)
	if err != nil {
		return t, &exitError{code: ExitUsage, err: err, hint: "coordinator context list shows what there is"}
	}
	if c != nil && (t.server == "" || t.server == c.Server) { // a token goes to nobody but its own server
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
		return t, &exitError{code: ExitUsage, err: fmt.Errorf("server %q: write the address alone, without what stands from ? or # on", masked.URLs(t.server))}
	case u.User != nil:
		return t, &exitError{code: ExitUsage, err: fmt.Errorf("server %q: a coordinator knows no user and password; give the token with --token, AMENDS_TOKEN, or a context that names a file with one", masked.URLs(t.server))}
	}
	return t, nil
}

// inTheClear returns an error if the token could be read on its way to the server.
func (t target) inTheClear() error {
	u, err := url.Parse(t.server)
	if err != nil || u.Scheme == "https" || t.token == "" || t.plain || t.here() {
		return nil
	}
	return &exitError{code: ExitUsage, err: fmt.Errorf("the token would pass to %s in the clear, and whoever reads it there can use it", t.server),
		hint: "write https://…; or, where only trusted networks lie between, say so with --plaintext-token"}
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

// transport is an HTTP client for the target, and the only place where a token is sent:
// over TLS or to this machine, unless it was said otherwise, and to nobody to whom the
// server would pass it on.
func (t target) transport() (*http.Client, error) {
	if err := t.inTheClear(); err != nil {
		return nil, err
	}
	trip := http.DefaultTransport.(*http.Transport).Clone()
	if t.here() {
		trip.Proxy = nil // one from the environment would take what is for this machine elsewhere, as 0.0.0.0 is to it
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

// noRedirect follows nobody elsewhere: the API redirects nothing, and the token is for
// the server that was named.
func noRedirect(r *http.Request, _ []*http.Request) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf("the server sends on to %s, and a token goes to nobody but the server that was named", r.URL),
		hint: "if that is the coordinator, name it with --server"}
}

// bearer adds the token to each request.
type bearer struct {
	next  http.RoundTripper
	token string
}

// RoundTrip is part of http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}

type service = apiv1connect.CoordinatorServiceClient

// call gives the API to ask, with a context that ends after the timeout (0:
// never). An answer that takes its time is waited for aloud. Errors of the API come back as
// what a person can do something about.
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

// Something is waited for aloud after waitsAfter, and then every waitsEvery.
var ( // shorter in tests
	waitsAfter = time.Second
	waitsEvery = 5 * time.Second
)

// waits says on stderr what is waited for, since when and for how long at most, until stop
// is called.
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

// hears is for an answer that comes in parts: until stop is called it says, as waits does, what
// it waits for, and ends the context when nothing was heard for so long (0: never).
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

// tooQuiet is the error of a request whose context was ended because nothing was heard.
func tooQuiet(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return connect.NewError(connect.CodeDeadlineExceeded, context.DeadlineExceeded)
	}
	return err
}

// hold is call for what may take as long as it likes, and says itself what it waits for.
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

// refused turns an error of the API into one with an exit code and a hint.
func refused(ctx context.Context, err error, t target) error {
	var remote *connect.Error
	var known *exitError
	var unsent *unsentError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known // without what the library says around it
	case ctx.Err() != nil:
		return &exitError{code: ExitFailed, err: errors.New("cancelled before a reply arrived")}
	case !errors.As(err, &remote):
		return err
	case remote.Code() == connect.CodeUnavailable && !connect.IsWireError(err):
		return &exitError{code: ExitNotReachable, unsent: errors.As(err, &unsent), err: fmt.Errorf("no coordinator answers at %s: %s", t.server, remote.Message()),
			hint: "start one with: coordinator serve; or say where it is with --server, AMENDS_SERVER or a context"}
	case remote.Code() == connect.CodeDeadlineExceeded:
		return &exitError{code: ExitNotReachable, err: fmt.Errorf("the coordinator at %s did not answer in time", t.server), hint: "give it more time with --timeout"}
	}
	return refusal(remote)
}

// prefixed keeps an error's code and hint and says before it what was tried.
func prefixed(what string, err error) error {
	var known *exitError
	if remote, ok := errors.AsType[*connect.Error](err); ok && !errors.As(err, &known) && connect.IsWireError(err) {
		err = refusal(remote) // what else there is, no answer, is told where the server is known
	}
	if errors.As(err, &known) && known.err != nil {
		return &exitError{code: known.code, hint: known.hint, unsent: known.unsent, err: fmt.Errorf("%s: %w", what, known.err)}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// words joins a list for a sentence.
func words(list []string) string { return strings.Join(list, ", ") }
