package participant_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImports: the SDK adds only few packages to a program: the standard library, uuid, backoff,
// and six small packages of this module. One of these six has only types, one has only empty
// functions, and one has a single function.
func TestImports(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{
		"github.com/amends-dev/amends/participant": true,
		"github.com/amends-dev/amends/api":         true,
		"github.com/amends-dev/amends/contract":    true,
		"github.com/amends-dev/amends/transport":   true,

		"github.com/amends-dev/amends/internal/crashpoint": true,
		"github.com/amends-dev/amends/internal/loglimit":   true,
		"github.com/amends-dev/amends/internal/plural":     true,

		"github.com/google/uuid":         true,
		"github.com/cenkalti/backoff/v5": true,
	}
	for path := range strings.FieldsSeq(string(out)) {
		if !allowed[path] {
			t.Errorf("the SDK brings %s into every service: move what needs it into a package of its own", path)
		}
	}
}
