package cli

import (
	"bytes"
	"strings"
	"testing"
)

// TestMissingFlagsNameTheirVariables checks that the error for a missing flag names its environment
// variable.
func TestMissingFlagsNameTheirVariables(t *testing.T) {
	var out, errs bytes.Buffer
	code := Run(t.Context(), []string{"cancel", "order-1"}, strings.NewReader(""), &out, &errs)
	if code != ExitUsage || !strings.Contains(errs.String(), "AMENDS_BY for --by") || strings.Contains(errs.String(), "--reason in") {
		t.Errorf("exit code %d, output %s", code, &errs)
	}
}
