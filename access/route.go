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

// procedures are the roles that the API's procedures demand; one that is missing
// demands Admin.
var procedures = map[string]Role{
	"Get": Viewer, "Wait": Viewer, "History": Viewer, "List": Viewer, "Count": Viewer, "Watch": Viewer,
	"ListDefinitions": Viewer, "GetDefinition": Viewer, "CompareDefinitions": Viewer,
	"ListParticipants": Viewer, "GetOverview": Viewer, "ListDeadLetters": Viewer,

	"Start": Operator, "Operate": Operator, "OperateAll": Operator,

	"RegisterDefinition": Admin, "ReplayDeadLetters": Admin, "DiscardDeadLetters": Admin, "PurgeDeadLetters": Admin,
}

// patterns are the roles that the other ways demand, by their pattern in the mux;
// one that is missing demands Admin: backups, profiles, and what is new.
var patterns = map[string]Role{
	"GET /livez": open, "GET /readyz": open, "GET /healthz": open, "/grpc.health.v1.Health/": open,
	"GET /auth/login": open, "POST /auth/login": open, "POST /auth/logout": open,
	"GET /auth/oidc": open, "GET /auth/callback": open, "GET /auth/whoami": Viewer,

	"GET /metrics": Viewer, "GET /openapi.yaml": Viewer,
	"/grpc.reflection.v1.ServerReflection/": Viewer, "/grpc.reflection.v1alpha.ServerReflection/": Viewer,
	"/": Viewer, // the console: GET and HEAD
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

// demand is the role that a request demands, which the mux matched with pattern.
func demand(r *http.Request, pattern string) Role {
	if pattern == servicePath {
		role, _ := RoleOf(strings.TrimPrefix(r.URL.Path, servicePath))
		return role
	}
	if pattern == "" {
		return Viewer // nothing is there, and whoever may look may hear so
	}
	role, ok := patterns[pattern]
	if !ok || pattern == "/" && r.Method != http.MethodGet && r.Method != http.MethodHead {
		return Admin
	}
	return role
}
