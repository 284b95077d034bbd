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

// unsentError is why a request did not leave this machine: nobody can have taken it.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// answers is an http.RoundTripper that tells apart how an answer stays out: nobody is there,
// the connection broke off, or what answers is no coordinator. The library above it makes
// any code of that.
type answers struct {
	next   http.RoundTripper
	server string
}

// RoundTrip is part of http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	response, err := a.next.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	switch {
	case err != nil && r.Context().Err() != nil:
		return nil, err // it was given up here
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

// brokeOff is the error of a connection that ended before the answer did.
func (a answers) brokeOff(err error) error {
	return &exitError{code: ExitNotReachable, err: fmt.Errorf("the coordinator at %s broke off before its answer was whole: %w", a.server, err),
		hint: "ask again; coordinator healthcheck, and its log, say how it is"}
}

// check returns an error if an answer is none of a coordinator's.
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
			return nil // a refusal
		}
	default:
		return nil // also of a proxy before a coordinator
	}
	return &exitError{code: ExitNotReachable, unsent: true,
		err:  fmt.Errorf("what answers at %s is not a coordinator's API: it says %s, with content type %q", a.server, response.Status, response.Header.Get("Content-Type")),
		hint: "give the address of a coordinator's --http with --server, AMENDS_SERVER or a context; a coordinator with --api off, or of an older release, answers so as well"}
}

// answer is the body of an answer.
type answer struct {
	io.ReadCloser
	ctx context.Context
	of  answers
}

// Read is part of io.Reader.
func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && a.ctx.Err() == nil {
		err = a.of.brokeOff(err)
	}
	return n, err
}

// unsure has the error of a change whose answer did not come say that it may have happened,
// and how to find out.
func unsure(err error, findOut string) error {
	if e, ok := errors.AsType[*exitError](err); ok && e.code == ExitNotReachable && !e.unsent {
		e.hint = findOut
	}
	return err
}
