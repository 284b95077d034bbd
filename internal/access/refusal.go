package access

import (
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
)

// siteError is the error for a request from a page of another site.
type siteError struct{ cause error }

func (e *siteError) Error() string {
	return "requests from pages of other sites are not allowed: " + e.cause.Error()
}

func (e *siteError) Unwrap() error { return e.cause }

// roleError is the error for a caller whose role is too low.
type roleError struct {
	needs  Role
	caller Caller
}

func (e *roleError) Error() string {
	return fmt.Sprintf("this needs the role %s, and %s has the role %s", e.needs, e.caller.Name, e.caller.Role)
}

// bodyError is the error for a body that is too long.
type bodyError struct{ has, most int64 }

func (e *bodyError) Error() string {
	if e.most == 0 {
		return "this request must not have a body"
	}
	return fmt.Sprintf("the body has %d bytes; at most %d are allowed", e.has, e.most)
}

// refusal returns the HTTP status and the Connect code for an error.
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
