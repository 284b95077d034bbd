package access

import (
	"context"
	"fmt"
)

// Role is what a caller may do. A greater role may do all that a smaller one may.
type Role int

// The roles. Nobody is the zero value and may do nothing.
const (
	Nobody   Role = iota
	Viewer        // reads: sagas with their payloads, definitions, dead letters, metrics
	Operator      // starts sagas and decides about them
	Admin         // registers definitions, handles dead letters, takes backups and profiles
)

var roleNames = map[Role]string{Viewer: "viewer", Operator: "operator", Admin: "admin"}

// String is the role's name as it stands in files and claims.
func (r Role) String() string {
	if name, ok := roleNames[r]; ok {
		return name
	}
	return "nobody"
}

// ParseRole reads a role's name.
func ParseRole(name string) (Role, error) {
	for r, n := range roleNames {
		if n == name {
			return r, nil
		}
	}
	return Nobody, fmt.Errorf("%q is no role; write viewer, operator or admin", name)
}

// The values of Caller.Via.
const (
	ViaAnonymous = "anonymous" // no access is configured: whoever reaches the address
	ViaToken     = "token"
	ViaOIDC      = "oidc"
)

// Caller is who makes a request.
type Caller struct {
	// Name is that of the token, or what the OIDC provider says. "" for an
	// anonymous caller.
	Name string
	Role Role
	Via  string

	network string // from which the request came
}

// Key is the name under which a caller's requests are counted against limits: of one
// without a name it is the address that they come from.
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

// From is the caller of a request that has passed a Guard; false: there is none.
func From(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
