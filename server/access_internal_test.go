package server

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/amends-dev/amends/internal/access"
)

// TestAccessIsConvertedCompletely checks that no setting of Access or OIDC is ignored.
func TestAccessIsConvertedCompletely(t *testing.T) {
	a := Access{
		Tokens: "tokens", OpenMetrics: true, Hosts: []string{"sagas"}, PublicURL: "https://sagas.example.com",
		OIDC: OIDC{
			Issuer: "https://login.example.com", ClientID: "id", ClientSecret: "secret", Audience: "sagas",
			RolesClaim: "groups", Roles: map[string]Role{"staff": RoleOperator}, NameClaim: "name", Transport: http.DefaultTransport,
		},
	}
	got := a.config()
	for _, pair := range [][2]reflect.Value{
		{reflect.ValueOf(a), reflect.ValueOf(got)},
		{reflect.ValueOf(a.OIDC), reflect.ValueOf(got.OIDC)},
	} {
		from, to := pair[0], pair[1]
		for i := range from.NumField() {
			name := from.Type().Field(i).Name
			if from.Field(i).IsZero() || to.FieldByName(name).IsZero() {
				t.Errorf("%s.%s: %v becomes %v", from.Type(), name, from.Field(i), to.FieldByName(name))
			}
		}
	}
	if role := got.OIDC.Roles["staff"]; role != access.RoleOperator {
		t.Errorf("the role is %v", role)
	}
}
