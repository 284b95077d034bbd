package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// I9: whatever the config file holds, the whole command answers a table and the
// exit code 0, or every mistake and the exit code 1, and what is in a secret's
// place is never shown. Package setting fuzzes how the file is read.
func TestConfigFile(t *testing.T) {
	for _, test := range []struct {
		name, data string
		want       int
	}{
		{"empty, so that the password is for no server", "", ExitFailed},
		{"right", "nats-url: nats://localhost\nhttp: 127.0.0.1:8080\nshards: 8\n", ExitOK},
		{"wrong values and an unknown key", "shards: many\nretention: 3 weeks\nhtpp: x\n", ExitFailed},
		{"holds itself", "a: &a [*a]\n", ExitFailed},
		{"a list as a key", "? [x]\n: y\n", ExitFailed},
		{"a password in a URL", "nats-url: nats://ada:canary-swordfish@localhost\n", ExitOK},
		{"a URL that is none", "nats-url: \"nats://ada:canary-swordfish@local host:%zz\"\n", ExitFailed},
		{"a URL of something else", "nats-url: http://ada:canary-swordfish@localhost\n", ExitFailed},
		{"several, one of them without a scheme", "nats-url: nats://localhost:4222, localhost:4223, tls://[::1]:4224\n", ExitOK},
		{"a secret that is a list", "nats-token: [canary-swordfish]\n", ExitFailed},
		{"grows", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n", ExitFailed},
		{"a number", "0", ExitFailed},
		{"no text", "\xf5\xc1\xf5", ExitFailed},
		{"a zero byte", "x]\n\x00", ExitFailed},
		{"an unknown tag", "!!c555555555555555555555555555555c", ExitFailed},
		{"an unknown anchor", "a: *a]\n", ExitFailed},
		{"definitions that are not there", "definitions: /nowhere/at/all\n", ExitFailed},
		{"a collector that is no URL", "otlp-endpoint: \"::\"\n", ExitFailed},
		{"a role that is none", "oidc-roles: everybody=king\n", ExitFailed},
		{"a port that is none", "http: nowhere\n", ExitFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "amends.yaml")
			if err := os.WriteFile(path, []byte(test.data), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("AMENDS_NATS_USER", "ada")
			t.Setenv("AMENDS_NATS_PASSWORD", "canary-swordfish")
			var out, errs bytes.Buffer
			code := Run(t.Context(), []string{"config", "check", "--config", path}, strings.NewReader(""), &out, &errs)
			if code != test.want {
				t.Errorf("exit code %d, want %d: %s", code, test.want, errs.String())
			}
			if (code == ExitFailed) != (errs.Len() > 0) {
				t.Errorf("exit code %d, and it says %q", code, errs.String())
			}
			if said := out.String() + errs.String(); strings.Contains(said, "canary") {
				t.Errorf("the password is shown: %s", said)
			}
		})
	}
}
