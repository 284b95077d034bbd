package cli

import (
	"bytes"
	"strings"
	"testing"
)

// TestMissingFlagsNameTheirVariables: where a flag that is missing may stand in the environment,
// that is said.
func TestMissingFlagsNameTheirVariables(t *testing.T) {
	var out, errs bytes.Buffer
	code := Run(t.Context(), []string{"cancel", "order-1"}, strings.NewReader(""), &out, &errs)
	if code != ExitUsage || !strings.Contains(errs.String(), "AMENDS_BY for --by") || strings.Contains(errs.String(), "--reason in") {
		t.Errorf("it exits %d and says %s", code, &errs)
	}
}
