package httpapi

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
)

// TestEveryRequestIsSigned checks that an authenticated caller cannot use another name. The field
// by of every request, at any depth, is set to the caller's name.
func TestEveryRequestIsSigned(t *testing.T) {
	methods := apiv1.File_amends_api_v1_api_proto.Services().ByName("CoordinatorService").Methods()
	named := 0
	for i := range methods.Len() {
		method := methods.Get(i)
		kind, err := protoregistry.GlobalTypes.FindMessageByName(method.Input().FullName())
		if err != nil {
			t.Fatal(err)
		}
		m := kind.New()
		claim(m, 0)
		setActor(m, "ada")
		eachBy(m, func(by string) {
			named++
			if by != "ada" {
				t.Errorf("%s is by %q: set it in caller.go", method.Name(), by)
			}
		})
	}
	if named < 5 {
		t.Errorf("%d requests say who makes them: the test does not bite", named)
	}
}

// claim sets the field by of a request, at every depth, to somebody else's name.
func claim(m protoreflect.Message, depth int) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		switch {
		case f.Name() == "by" && f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("mallory"))
		case f.Message() == nil || f.IsMap() || depth > 4:
		case f.IsList():
			claim(m.Mutable(f).List().AppendMutable().Message(), depth+1)
		default:
			claim(m.Mutable(f).Message(), depth+1)
		}
	}
}

func eachBy(m protoreflect.Message, look func(by string)) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Name() == "by" && f.Kind() == protoreflect.StringKind:
			look(v.String())
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				eachBy(v.List().Get(i).Message(), look)
			}
		default:
			eachBy(v.Message(), look)
		}
		return true
	})
}
