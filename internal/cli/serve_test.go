package cli

import (
	"bytes"
	"net"
	"strings"
	"testing"
)

// TestTakenAddress checks the error for an address on which another process listens. It names the
// flag and suggests a fix.
func TestTakenAddress(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	address := taken.Addr().String()
	for flag, other := range map[string]string{"http": "nats-listen", "nats-listen": "http"} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), []string{"serve", "--data-dir", t.TempDir(), "--" + flag, address, "--" + other, "127.0.0.1:0"}, strings.NewReader(""), &out, &errs)
		for _, says := range []string{flag + " " + address, "\n  another process, perhaps another coordinator, listens there", "use another address with --" + flag + ", AMENDS_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))} {
			if code != ExitFailed || !strings.Contains(errs.String(), says) {
				t.Errorf("--%s: exit code %d, output lacks %q: %s", flag, code, says, &errs)
			}
		}
	}
}
