package httpapi_test

import (
	"testing"

	"github.com/amends-dev/amends/internal/access"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// TestEveryProcedureDemandsARole checks that every procedure has an explicit role.
func TestEveryProcedureDemandsARole(t *testing.T) {
	methods := apiv1.File_amends_api_v1_api_proto.Services().ByName("CoordinatorService").Methods()
	if methods.Len() == 0 {
		t.Fatal("the service has no procedures")
	}
	for i := range methods.Len() {
		if name := string(methods.Get(i).Name()); !decided(name) {
			t.Errorf("%s demands the role admin because nobody has decided: add it to access/route.go", name)
		}
	}
}

func decided(name string) bool {
	_, ok := access.RoleOf(name)
	return ok
}
