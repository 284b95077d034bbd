package access

import (
	"context"
	"fmt"
)

// Role is what a caller may do. A higher role includes all lower ones.
type Role int

// The roles. Nobody is the zero value and permits nothing.
const (
	Nobody   Role = iota
	Viewer        // reads: sagas with their payloads, definitions, dead letters, metrics
	Operator      // starts sagas and takes decisions about them
	Admin         // registers definitions, manages dead letters, takes backups and profiles
)

var roleNames = map[Role]string{Viewer: "viewer", Operator: "operator", Admin: "admin"}

// String returns the role's name as in files and claims.
func (r Role) String() string {
	if name, ok := roleNames[r]; ok {
		return name
	}
	return "nobody"
}

// ParseRole parses a role's name.
func ParseRole(name string) (Role, error) {
	for r, n := range roleNames {
		if n == name {
			return r, nil
		}
	}
	return Nobody, fmt.Errorf("%q is not a role; write viewer, operator or admin", name)
}

// The values of Caller.Via.
const (
	ViaAnonymous = "anonymous" // no authentication is configured
	ViaToken     = "token"
	ViaOIDC      = "oidc"
)

// Caller is who sends a request.
type Caller struct {
	// Name is the token's name, or the name from the OIDC provider. It is "" for an
	// anonymous caller.
	Name string
	Role Role
	Via  string

	network string // address that the request came from
}

// Key returns the key under which a caller's requests count against limits. For anonymous
// callers it is their address.
func (c Caller) Key() string {
	if c.Name == "" {
		return "from/" + c.network
	}
	return c.Via + "/" + c.Name
}

type callerKey struct{}

// With adds the caller to a request's context.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From returns the caller of a request that passed a Guard. It reports false if there is
// none.
func From(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
