package access

import (
	"net/http"
	"strings"

	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
)

// open is the demand of ways that need no caller.
const open = Nobody

// servicePath begins the path of every procedure.
const servicePath = "/" + apiv1connect.CoordinatorServiceName + "/"

// Bytes of a body that are read, by what it is (I10). A way that names none reads none.
const (
	maxForm       = 64 << 10 // a login
	maxProbe      = 4 << 10  // a question of grpc.health.v1
	maxReflection = 64 << 10 // questions of gRPC reflection
	maxCall       = 5 << 20  // a procedure: api.MaxMessage, which package api holds, with its framing
)

// route is what a way demands of a request, and how much of it is read.
type route struct {
	role   Role
	body   int64
	here   bool // without keys it is for this machine only, also where Config.Open lets others in
	health bool // it answers probes, for whichever host they ask
}

// procedures are the roles that the API's procedures demand; one that is missing
// demands Admin.
var procedures = map[string]Role{
	"Get": Viewer, "Wait": Viewer, "History": Viewer, "List": Viewer, "Count": Viewer, "Watch": Viewer,
	"ListDefinitions": Viewer, "GetDefinition": Viewer, "CompareDefinitions": Viewer,
	"ListParticipants": Viewer, "GetOverview": Viewer, "ListDeadLetters": Viewer, "FindOrphans": Viewer,

	"Start": Operator, "Operate": Operator, "OperateAll": Operator,

	"RegisterDefinition": Admin, "ReplayDeadLetters": Admin, "DiscardDeadLetters": Admin, "PurgeDeadLetters": Admin,
	"RemoveDamaged": Admin,
}

// routes are the other ways, by their pattern in the mux. One that is missing demands
// Admin, reads no body, and is for this machine only where nobody is asked for a key:
// backups, profiles, and what is new.
var routes = map[string]route{
	"GET /livez": {health: true}, "GET /readyz": {health: true}, "GET /healthz": {health: true},
	"/grpc.health.v1.Health/": {health: true, body: maxProbe},

	"GET /auth/login": {role: open}, "POST /auth/login": {role: open, body: maxForm}, "POST /auth/logout": {role: open},
	"GET /auth/oidc": {role: open}, "GET /auth/callback": {role: open}, "GET /auth/whoami": {role: Viewer},

	"GET /metrics": {role: Viewer}, "GET /openapi.yaml": {role: Viewer},
	"/grpc.reflection.v1.ServerReflection/":      {role: Viewer, body: maxReflection},
	"/grpc.reflection.v1alpha.ServerReflection/": {role: Viewer, body: maxReflection},
	"/": {role: Viewer}, // the console: GET and HEAD
}

// RoleOf is the role that a procedure of the API demands, by its name such as
// "Start"; false: none was decided, and it demands Admin.
func RoleOf(procedure string) (Role, bool) {
	r, ok := procedures[procedure]
	if !ok {
		r = Admin
	}
	return r, ok
}

// demand is the route of a request that the mux matched with pattern.
func (a *Access) demand(r *http.Request, pattern string) route {
	switch pattern {
	case servicePath:
		role, _ := RoleOf(strings.TrimPrefix(r.URL.Path, servicePath))
		return route{role: role, body: maxCall}
	case "":
		return route{role: Viewer} // nothing is there, and whoever may look may hear so
	case "GET /metrics":
		if a.config.OpenMetrics {
			return route{role: open}
		}
	}
	way, ok := routes[pattern]
	switch {
	case !ok:
		return route{role: Admin, here: true}
	case pattern == "/" && r.Method != http.MethodGet && r.Method != http.MethodHead:
		return route{role: Admin}
	}
	return way
}
