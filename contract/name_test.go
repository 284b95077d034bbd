package contract_test

import (
	"errors"
	"regexp"
	"testing"

	"github.com/amends-dev/amends/contract"
)

// TestNames checks every byte in an id, and at each position of a name.
func TestNames(t *testing.T) {
	id, name := regexp.MustCompile(`^[A-Za-z0-9_:=@-]{1,128}$`), regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)
	for c := range 256 {
		for _, text := range []string{string([]byte{byte(c)}), string([]byte{'a', byte(c)}), string([]byte{byte(c), 'a'})} {
			if err := contract.SagaID(text).Check(); (err == nil) != id.MatchString(text) {
				t.Errorf("id %q: %v", text, err)
			}
			if err := contract.CheckName("step", text); (err == nil) != name.MatchString(text) {
				t.Errorf("name %q: %v", text, err)
			}
		}
	}
	for _, bad := range []error{contract.SagaID("").Check(), contract.SagaID(make([]byte, 129)).Check(), contract.SagaID("a.b").Check(), contract.CheckName("step", "B")} {
		if wrong := (*contract.NameError)(nil); !errors.As(bad, &wrong) || wrong.What == "" || wrong.Why == "" {
			t.Errorf("%v is no NameError that says what and why", bad)
		}
	}
}
