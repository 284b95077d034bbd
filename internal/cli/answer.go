package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"path"
	"strings"
	"sync/atomic"

	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

// unsentError wraps the error of a request that reached no server. Such a request had no effect.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// answers is an http.RoundTripper that distinguishes three failures: no connection, a connection
// that broke, and a response that does not come from a coordinator. The Connect library does not
// distinguish these failures: it maps them to its own codes.
type answers struct {
	next   http.RoundTripper
	server string
}

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	response, err := a.next.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	switch {
	case err != nil && r.Context().Err() != nil:
		return nil, err // the caller canceled the request
	case err != nil && !connected.Load():
		return nil, &unsentError{err}
	case err != nil:
		return nil, a.brokeOff(err)
	}
	if err := a.check(r, response); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	response.Body = &answer{response.Body, r.Context(), a}
	return response, nil
}

// brokeOff returns the error for a connection that ended before the answer was complete.
func (a answers) brokeOff(err error) error {
	return &exitError{code: ExitNotReachable, err: fmt.Errorf("the connection to the coordinator at %s ended before its answer was complete: %w", a.server, err),
		hint: "try again; check the coordinator with: coordinator healthcheck, and read its log"}
}

// check returns an error if the response does not come from a coordinator.
func (a answers) check(r *http.Request, response *http.Response) error {
	asked, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	api := strings.Contains(r.URL.Path, "/"+apiv1connect.CoordinatorServiceName+"/")
	if want := map[string]string{"backup": "application/octet-stream", "readyz": "text/plain", "metrics": "text/plain"}; !api {
		asked = want[path.Base(r.URL.Path)]
	}
	got, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch response.StatusCode {
	case http.StatusOK:
		if got == asked {
			return nil
		}
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		if api && got == "application/json" {
			return nil // the coordinator rejected the request
		}
	default:
		return nil // it may come from a proxy
	}
	return &exitError{code: ExitNotReachable, unsent: true,
		err:  fmt.Errorf("the server at %s is not a coordinator: it answered %s with content type %q", a.server, response.Status, response.Header.Get("Content-Type")),
		hint: "name a coordinator's --http address with --server, AMENDS_SERVER or a context; a coordinator with --api off or of an older release answers like this, too"}
}

// answer wraps a response body, and reports its read errors with brokeOff.
type answer struct {
	io.ReadCloser
	ctx context.Context
	of  answers
}

// Read implements io.Reader.
func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && a.ctx.Err() == nil {
		err = a.of.brokeOff(err)
	}
	return n, err
}

// unsure replaces the hint of err with findOut if the request may have had an effect although no
// answer arrived.
func unsure(err error, findOut string) error {
	if e, ok := errors.AsType[*exitError](err); ok && e.code == ExitNotReachable && !e.unsent {
		e.hint = findOut
	}
	return err
}
