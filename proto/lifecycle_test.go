package proto_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/amends-dev/amends/internal/coordinator"
	amendsv1 "github.com/amends-dev/amends/proto/amends/v1"
)

// TestLifecycleData: what the coordinator announces has the fields of the
// contract, in its order.
func TestLifecycleData(t *testing.T) {
	var announced, promised []string
	data := reflect.TypeFor[coordinator.Lifecycle]()
	for field := range data.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		announced = append(announced, name)
	}
	fields := (&amendsv1.LifecycleData{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		promised = append(promised, string(fields.Get(i).Name()))
	}
	if !reflect.DeepEqual(announced, promised) {
		t.Errorf("the coordinator announces %q, the contract has %q", announced, promised)
	}
}
