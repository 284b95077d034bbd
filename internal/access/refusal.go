package access

import (
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
)

// siteError refuses a page of another site.
type siteError struct{ cause error }

func (e *siteError) Error() string {
	return "a page from another site may not do this: " + e.cause.Error()
}

func (e *siteError) Unwrap() error { return e.cause }

// roleError refuses a caller whose role is too small.
type roleError struct {
	needs  Role
	caller Caller
}

func (e *roleError) Error() string {
	return fmt.Sprintf("this needs the role %s, and %s has the role %s", e.needs, e.caller.Name, e.caller.Role)
}

// bodyError refuses a body that is too long.
type bodyError struct{ has, most int64 }

func (e *bodyError) Error() string {
	if e.most == 0 {
		return "this takes no body: leave it out"
	}
	return fmt.Sprintf("the body has %d bytes, and at most %d are taken", e.has, e.most)
}

// refusal is how an error is said over HTTP, and in Connect and gRPC.
func refusal(err error) (status int, code connect.Code) {
	var long *bodyError
	switch {
	case errors.Is(err, errNoProvider):
		return http.StatusServiceUnavailable, connect.CodeUnavailable
	case errors.Is(err, errNoKey), errors.Is(err, errBadKey):
		return http.StatusUnauthorized, connect.CodeUnauthenticated
	case errors.As(err, &long):
		return http.StatusRequestEntityTooLarge, connect.CodeResourceExhausted
	}
	return http.StatusForbidden, connect.CodePermissionDenied
}
