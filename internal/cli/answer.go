package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// unsentError is why a request did not leave this machine: nobody can have taken it.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// answers is an http.RoundTripper that tells apart how an answer stays out: nobody is there,
// or the connection broke off. The library above it makes
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
	response.Body = &answer{response.Body, r.Context(), a}
	return response, nil
}

// brokeOff is the error of a connection that ended before the answer did.
func (a answers) brokeOff(err error) error {
	return &exitError{code: ExitNotReachable, err: fmt.Errorf("the coordinator at %s broke off before its answer was whole: %w", a.server, err),
		hint: "ask again; coordinator healthcheck, and its log, say how it is"}
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
