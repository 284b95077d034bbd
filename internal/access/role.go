package access

import (
	"context"
	"fmt"
)

// Role determines what a caller may do. A higher role includes all lower ones.
type Role int

// The roles. Nobody is the zero value and permits nothing.
const (
	Nobody       Role = iota
	RoleViewer        // read: sagas with their payloads, definitions, dead letters, metrics
	RoleOperator      // start sagas, and take decisions about them
	RoleAdmin         // register definitions, manage dead letters, take backups and profiles
)

var roleNames = map[Role]string{RoleViewer: "viewer", RoleOperator: "operator", RoleAdmin: "admin"}

// String returns the role's name, as used in files and claims.
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

// Caller identifies the sender of a request.
type Caller struct {
	// Name is the name of the token, or the name from the OIDC provider. It is "" for an anonymous
	// caller.
	Name string
	Role Role
	Via  string

	network string // the address that the request came from
}

// Key returns the key for counting a caller's requests against limits. For an anonymous caller it
// is derived from the address.
func (c Caller) Key() string {
	if c.Name == "" {
		return "from/" + c.network
	}
	return c.Via + "/" + c.Name
}

type callerKey struct{}

// With returns a context with the caller of a request.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From returns the caller of a request that passed a Guard, and false if there is none.
func From(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
