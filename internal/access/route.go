package access

import (
	"net/http"
	"strings"

	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

// open is the role for routes that need no caller.
const open = Nobody

// servicePath is the prefix of every procedure's path.
const servicePath = "/" + apiv1connect.CoordinatorServiceName + "/"

// Maximum body sizes in bytes (I10). A route without a maximum accepts no body.
const (
	maxForm       = 64 << 10 // a login
	maxProbe      = 4 << 10  // a request of grpc.health.v1
	maxReflection = 64 << 10 // requests of gRPC reflection
	maxCall       = 5 << 20  // a procedure: httpapi.MaxMessage plus framing
)

// route holds the requirements of a route.
type route struct {
	role   Role
	body   int64
	here   bool // without authentication, only programs on this machine may use it, even with Config.Open
	health bool // for probes, which may name any host
}

// procedures maps the API's procedures to the roles that they need. A procedure that is missing
// here needs Admin.
var procedures = map[string]Role{
	"Get": RoleViewer, "Wait": RoleViewer, "History": RoleViewer, "List": RoleViewer, "Count": RoleViewer, "Poll": RoleViewer, "Watch": RoleViewer,
	"ListDefinitions": RoleViewer, "GetDefinition": RoleViewer, "CompareDefinitions": RoleViewer,
	"ListParticipants": RoleViewer, "GetOverview": RoleViewer, "ListDeadLetters": RoleViewer, "FindOrphans": RoleViewer,

	"Start": RoleOperator, "Run": RoleOperator, "Operate": RoleOperator, "OperatePage": RoleOperator, "OperateAll": RoleOperator,

	"RegisterDefinition": RoleAdmin, "ReplayDeadLetters": RoleAdmin, "DiscardDeadLetters": RoleAdmin, "PurgeDeadLetters": RoleAdmin,
	"RemoveDamaged": RoleAdmin,
}

// routes maps the patterns of all other routes to their requirements. A route that is missing here
// needs Admin, accepts no body, and without authentication can be used only from this machine. That
// applies to backups, profiles and new routes.
var routes = map[string]route{
	"GET /livez": {health: true}, "GET /readyz": {health: true}, "GET /healthz": {health: true},
	"/grpc.health.v1.Health/": {health: true, body: maxProbe},

	"GET /auth/login": {role: open}, "POST /auth/login": {role: open, body: maxForm}, "POST /auth/logout": {role: open},
	"GET /auth/oidc": {role: open}, "GET /auth/callback": {role: open}, "GET /auth/whoami": {role: RoleViewer},

	"GET /metrics": {role: RoleViewer}, "GET /openapi.yaml": {role: RoleViewer},
	"/grpc.reflection.v1.ServerReflection/":      {role: RoleViewer, body: maxReflection},
	"/grpc.reflection.v1alpha.ServerReflection/": {role: RoleViewer, body: maxReflection},
	"/": {role: RoleViewer}, // the console: GET and HEAD
}

// RoleOf returns the role that a procedure of the API, such as "Start", needs. For a procedure that
// is not listed it returns Admin and false.
func RoleOf(procedure string) (Role, bool) {
	r, ok := procedures[procedure]
	if !ok {
		r = RoleAdmin
	}
	return r, ok
}

// demand returns the requirements for a request that the mux matched with pattern.
func (a *Access) demand(r *http.Request, pattern string) route {
	switch pattern {
	case servicePath:
		role, _ := RoleOf(strings.TrimPrefix(r.URL.Path, servicePath))
		return route{role: role, body: maxCall}
	case "":
		return route{role: RoleViewer} // the answer is 404
	case "GET /metrics":
		if a.config.OpenMetrics {
			return route{role: open}
		}
	}
	way, ok := routes[pattern]
	switch {
	case !ok:
		return route{role: RoleAdmin, here: true}
	case pattern == "/" && r.Method != http.MethodGet && r.Method != http.MethodHead:
		return route{role: RoleAdmin}
	}
	return way
}
