package cli

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nkeys"

	"github.com/amends-dev/amends/internal/access"
	"github.com/amends-dev/amends/store/seal"
	"github.com/amends-dev/amends/transport/natsbus"
)

// named holds the flags of serve that name a file or directory. Each has the file from rightFiles
// that it accepts, and the other flags that it requires.
var named = map[string]struct{ right, with string }{
	"config":               {"config.yaml", ""},
	"data-dir":             {"data", ""},
	"store-keys":           {"keys", ""},
	"definitions":          {"right.yaml", ""},
	"nats-users":           {"users.conf", ""},
	"nats-listen-cert":     {"cert.pem", "--nats-listen-key key.pem"},
	"nats-listen-key":      {"key.pem", "--nats-listen-cert cert.pem"},
	"nats-creds":           {"user.creds", "--nats-url nats://127.0.0.1:1"},
	"nats-nkey":            {"user.nk", "--nats-url nats://127.0.0.1:1"},
	"nats-ca":              {"cert.pem", "--nats-url nats://127.0.0.1:1"},
	"nats-cert":            {"cert.pem", "--nats-url nats://127.0.0.1:1 --nats-key key.pem"},
	"nats-key":             {"key.pem", "--nats-url nats://127.0.0.1:1 --nats-cert cert.pem"},
	"nats-responder-creds": {"user.creds", "--nats-url nats://127.0.0.1:1"},
	"nats-responder-nkey":  {"user.nk", "--nats-url nats://127.0.0.1:1"},
	"tls-cert":             {"cert.pem", "--tls-key key.pem"},
	"tls-key":              {"key.pem", "--tls-cert cert.pem"},
	"tokens":               {"tokens", ""},
	"ready-file":           {"ready.json", ""},
}

// TestConfigCheckReadsWhatItNames checks that config check and serve report a missing or invalid
// file in the same words, which name the file. The test fails if a new flag that names a file is
// not in named.
func TestConfigCheckReadsWhatItNames(t *testing.T) {
	dir := rightFiles(t)
	t.Chdir(dir)
	var serve struct{ serveFlags }
	parser, err := kong.New(&serve, append(decimals(), kong.Vars{"shards": "1", "max_batch": "1", "max_open": "1"})...)
	if err != nil {
		t.Fatal(err)
	}
	flags := slices.DeleteFunc(slices.Clone(parser.Model.Flags), func(f *kong.Flag) bool { return !strings.Contains(f.Tag.Type, "path") })
	if len(flags) != len(named) {
		t.Errorf("serve has %d flags that name a file, but named has %d", len(flags), len(named))
	}
	for _, flag := range flags {
		how, known := named[flag.Name]
		if !known {
			t.Errorf("--%s names a file, but is not in named", flag.Name)
		}
		t.Run(flag.Name, func(t *testing.T) {
			if code, said := looked(t, "config check", flag.Name, how.right, how.with); code != ExitOK {
				t.Errorf("valid file: exit code %d, %s", code, said)
			}
			for _, wrong := range []string{"wrong", "missing/file", "wrong/file"} {
				if flag.Name == "data-dir" && wrong == "missing/file" || flag.Name == "ready-file" && wrong == "wrong" {
					continue // this directory or file is created
				}
				code, said := looked(t, "config check", flag.Name, wrong, how.with)
				codeServe, saidServe := looked(t, "serve", flag.Name, wrong, how.with)
				if code != ExitFailed || codeServe != ExitUsage || !strings.Contains(said, filepath.Dir(filepath.Join(dir, wrong))) {
					t.Errorf("%s: config check: exit code %d, %s\nserve: exit code %d, %s", wrong, code, said, codeServe, saidServe)
				}
				for line := range strings.Lines(said) {
					if sentence := strings.TrimSpace(line); !strings.Contains(sentence, "the configuration is not valid") && !strings.Contains(saidServe, strings.TrimPrefix(sentence, "coordinator: ")) {
						t.Errorf("%s: config check says %q, serve %s", wrong, sentence, saidServe)
					}
				}
				if strings.Contains(said+saidServe, "swordfish") {
					t.Errorf("%s: the content of the file is shown: %s%s", wrong, said, saidServe)
				}
			}
		})
	}
}

// looked runs a command with a flag that names a file.
func looked(t *testing.T, command, flag, file, with string) (code int, said string) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // stops a coordinator that starts anyway
	defer cancel()
	args := slices.Concat(strings.Fields(command), []string{"--" + flag, file}, strings.Fields(with))
	if command == "serve" {
		args = append(args, "--nats-listen=127.0.0.1:0", "--http=127.0.0.1:0")
	}
	code = Run(ctx, args, strings.NewReader(""), &out, &errs)
	return code, errs.String()
}

// rightFiles creates a directory with a valid file for each flag, and one file that no flag
// accepts.
func rightFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "amends"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := access.NewToken("ada", access.RoleAdmin, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	sealing, err := seal.NewKey("key-1")
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"cert.pem":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		"key.pem":     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"tokens":      []byte(token + "\n"),
		"keys":        []byte(sealing + "\n"),
		"user.nk":     seed,
		"user.creds":  fmt.Appendf(nil, "-----BEGIN NATS USER JWT-----\neyJ0eXAiOiJKV1QifQ.e30.c2ln\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", seed),
		"users.conf":  fmt.Appendf(nil, "accounts {\n  %s { users = [ { user: payment, password: catfish } ] }\n}\n", natsbus.Account),
		"right.yaml":  []byte(rightYAML),
		"config.yaml": []byte("shards: 1\n"),
		"wrong":       []byte("swordfish is not what anybody wants [\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
