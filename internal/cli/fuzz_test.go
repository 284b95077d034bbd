package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzConfigFile checks arbitrary config files: the answer is a table and the exit
// code 0, or every mistake and the exit code 1; never a panic, and what is in a
// secret's place is never shown.
func FuzzConfigFile(f *testing.F) {
	f.Add([]byte("http: 127.0.0.1:8080\nshards: 8\n"), "swordfish")
	f.Add([]byte("shards: many\nretention: 3 weeks\nhtpp: x\n"), "swordfish")
	f.Add([]byte("a: &a [*a]\n"), "swordfish")
	f.Add([]byte("? [x]\n: y\n"), "swordfish")
	f.Add([]byte("nats-url: nats://ada:swordfish@localhost\n"), "swordfish")
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n"), "swordfish")
	path := filepath.Join(f.TempDir(), "amends.yaml")
	f.Fuzz(func(t *testing.T, data []byte, secret string) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsRune(secret, 0) {
			return // no environment has it
		}
		t.Setenv("AMENDS_NATS_PASSWORD", "canary-"+secret)
		var out, errs bytes.Buffer
		code := Run(t.Context(), []string{"config", "check", "--config", path}, strings.NewReader(""), &out, &errs)
		if code != ExitOK && code != ExitFailed {
			t.Errorf("exit code %d: %s", code, errs.String())
		}
		if (code == ExitFailed) != (errs.Len() > 0) {
			t.Errorf("exit code %d, and it says %q", code, errs.String())
		}
		if said := out.String() + errs.String(); strings.Contains(said, "canary-"+secret) && !bytes.Contains(data, []byte("canary")) {
			t.Errorf("the password is shown: %s", said)
		}
	})
}
