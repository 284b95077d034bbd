package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// For every config file, config check prints either a table and exits with 0, or every mistake and
// exits with 1 (I9). It never prints a value in the place of a secret. Package setting fuzzes the
// parser of the file.
func TestConfigFile(t *testing.T) {
	for _, test := range []struct {
		name, data string
		want       int
	}{
		{"empty, so that the password has no server", "", ExitFailed},
		{"right", "nats-url: nats://localhost\nhttp: 127.0.0.1:8080\nshards: 8\n", ExitOK},
		{"invalid values and an unknown key", "shards: many\nretention: 3 weeks\nhtpp: x\n", ExitFailed},
		{"an alias to itself", "a: &a [*a]\n", ExitFailed},
		{"a list as a key", "? [x]\n: y\n", ExitFailed},
		{"a password in a URL", "nats-url: nats://ada:canary-swordfish@localhost\n", ExitOK},
		{"an invalid URL", "nats-url: \"nats://ada:canary-swordfish@local host:%zz\"\n", ExitFailed},
		{"a URL with another scheme", "nats-url: http://ada:canary-swordfish@localhost\n", ExitFailed},
		{"several, one of them without a scheme", "nats-url: nats://localhost:4222, localhost:4223, tls://[::1]:4224\n", ExitOK},
		{"a secret that is a list", "nats-token: [canary-swordfish]\n", ExitFailed},
		{"aliases that grow exponentially", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n", ExitFailed},
		{"a number", "0", ExitFailed},
		{"not UTF-8", "\xf5\xc1\xf5", ExitFailed},
		{"a zero byte", "x]\n\x00", ExitFailed},
		{"an unknown tag", "!!c555555555555555555555555555555c", ExitFailed},
		{"an unknown anchor", "a: *a]\n", ExitFailed},
		{"missing definitions", "definitions: /nowhere/at/all\n", ExitFailed},
		{"a collector that is not a URL", "otlp-endpoint: \"::\"\n", ExitFailed},
		{"an unknown role", "oidc-roles: everybody=king\n", ExitFailed},
		{"an invalid port", "http: nowhere\n", ExitFailed},
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
				t.Errorf("exit code %d, error output %q", code, errs.String())
			}
			if said := out.String() + errs.String(); strings.Contains(said, "canary") {
				t.Errorf("the password is shown: %s", said)
			}
		})
	}
}

// TestNoSecretIsShown checks that no output of config check or serve contains a password. It tries
// every flag that holds one, with valid and invalid values, from the command line, the environment
// and the config file.
func TestNoSecretIsShown(t *testing.T) {
	var serve struct{ serveFlags }
	parser, err := kong.New(&serve, append(decimals(), kong.Vars{"shards": "1", "max_batch": "1", "max_open": "1"})...)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // ends serve if it accepts the value
	path := filepath.Join(t.TempDir(), "amends.yaml")
	t.Chdir(filepath.Dir(path))
	tried := 0
	for _, flag := range parser.Model.Flags {
		values := []string{
			"nats://ada:swordfish@127.0.0.1:1", "tls://swordfish@127.0.0.1:1,nats://ada:swordfish@127.0.0.1:2", "http://ada:sword/swordfish@h:1", "https://ada:p@swordfish@h",
			"nats://ada:swordfish@127.0.0.1:%zz", "ftp://ada:swordfish@h", "https://ada:swordfish@h/x?y=z#a",
		}
		if flag.PlaceHolder != "URL" {
			values = values[tried%3 : tried%3+1] // one of these three unusual values is enough for each flag
		} else {
			values = append(values, "ada:swordfish@127.0.0.1:1", "ada:swordfish@127.0.0.1:1,swordfish@h", "ada:swordfish@h:%zz")
		}
		if flag.Tag.Has("secret") {
			values = []string{"swordfish", "sword fish: [swordfish", "{swordfish"}
		}
		if flag.Name == "help" || flag.Tag.Type == "path" || flag.IsBool() || len(flag.Envs) == 0 {
			continue
		}
		for i, value := range values {
			tried++
			args, file := []string{}, ""
			switch i % 3 { // a third each by flag, environment and file
			case 0:
				args = []string{"--" + flag.Name + "=" + value}
			case 1:
				file = flag.Name + ": " + strconv.Quote(value) + "\n"
			case 2:
				t.Setenv(flag.Envs[0], value)
			}
			if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"config check -o json", "config check", "serve"}[min(i, 1):] {
				var out, errs bytes.Buffer
				Run(ended, slices.Concat(strings.Fields(command), []string{"--config", path, "--nats-listen=127.0.0.1:0"}, args), strings.NewReader(""), &out, &errs)
				if said := out.String() + errs.String(); strings.Contains(said, "swordfish") {
					at := strings.Index(said, "swordfish")
					t.Errorf("%s with --%s %q from %d shows it: …%s…", command, flag.Name, value, i%3, said[max(0, at-100):min(len(said), at+60)])
				}
			}
			if i%3 == 2 {
				_ = os.Unsetenv(flag.Envs[0])
			}
		}
	}
	if tried < 50 {
		t.Errorf("only %d values were tried", tried)
	}
}
