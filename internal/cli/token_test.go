package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/alecthomas/kong"
)

// TestTokenInTheClear checks that a token is sent only over TLS, to this machine, or if a flag
// permits plaintext.
func TestTokenInTheClear(t *testing.T) {
	for server, safe := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://127.8.9.1": true, "http://[::1]:8080": true, "http://localhost:8080": true, "127.0.0.1:8080": true, ":8080": true, "http://[::]:8080": true, "http://0.0.0.0:8080": true,
		"https://sagas.example.com": true, "https://192.0.2.1": true, "HTTPS://sagas.example.com": true,
		"http://sagas.example.com": false, "HTTP://sagas.example.com": false, "http://192.0.2.1:8080": false, "http://[2001:db8::1]:8080": false, "192.0.2.1:8080": false,
		"http://127.0.0.1.example.com": false, "http://localhost.example.com": false, "http://localhost.": false, "http://0x7f000001": false,
	} {
		for _, plain := range []bool{false, true} {
			f := serverFlags{Server: server, Token: "swordfish", Plain: plain, CA: ""}
			at, err := f.target()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := at.transport(); (err == nil) != (safe || plain) {
				t.Errorf("%s, plain %v: %v", server, plain, err)
			}
			at.token = ""
			if _, err := at.transport(); err != nil {
				t.Errorf("%s without a token: %v", server, err)
			}
		}
	}
}

// TestNoProxyForThisMachine checks that requests to this machine, which may be plaintext, ignore a
// proxy in the environment. All other requests use it.
func TestNoProxyForThisMachine(t *testing.T) {
	for server, here := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost:8080": true, ":8080": true, "http://[::1]:8080": true,
		"http://0.0.0.0:8080": true, "http://[::]:8080": true, "http://[::ffff:0.0.0.0]:8080": true, "https://0.0.0.0:8080": true,
		"https://sagas.example.com": false, "https://192.0.2.1": false,
	} {
		f := serverFlags{Server: server, Token: "swordfish"}
		at, err := f.target()
		if err != nil {
			t.Fatal(err)
		}
		caller, err := at.transport()
		if err != nil {
			t.Fatal(err)
		}
		if trip := caller.Transport.(bearer).next.(answers).next.(*http.Transport); (trip.Proxy == nil) != here {
			t.Errorf("%s: uses the proxy: %v", server, trip.Proxy != nil)
		}
	}
}

// TestServerIsAnAddress checks that a server URL with parts that may hold a secret is refused. The
// error does not quote those parts.
func TestServerIsAnAddress(t *testing.T) {
	for _, server := range []string{"http://h/x?token=swordfish", "http://h/#swordfish", "https://ada:swordfish@h", "h?swordfish"} {
		f := serverFlags{Server: server}
		if _, err := f.target(); err == nil || strings.Contains(err.Error(), "token=swordfish") || strings.Contains(err.Error(), "ada:") {
			t.Errorf("%s: %v", server, err)
		}
	}
}

// TestEveryCommandKeepsItsToken checks that no command sends a token without TLS to another
// machine, whether the token comes from the command line, the environment or a context.
func TestEveryCommandKeepsItsToken(t *testing.T) {
	dir := t.TempDir()
	for path, data := range map[string]string{
		"token": "swordfish", "right.yaml": rightYAML,
		"contexts.yaml": "current: far\ncontexts: {far: {server: 'http://sagas.example.com', token_file: " + filepath.Join(dir, "token") + "}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("AMENDS_BY", "ada")
	parser, err := kong.New(&root{}, append(decimals(), kong.Vars{"shards": "1", "max_batch": "1", "max_open": "1"})...)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(false) {
		if !slices.ContainsFunc(leaf.Flags, func(f *kong.Flag) bool { return f.Name == "token" }) {
			continue
		}
		command := strings.TrimPrefix(strings.SplitN(leaf.Path(), " <", 2)[0], parser.Model.Name+" ")
		for from, env := range map[string]string{"--token swordfish --server http://sagas.example.com": "", "--server http://sagas.example.com": "swordfish", "": ""} {
			t.Setenv("AMENDS_TOKEN", env)
			t.Setenv("AMENDS_CONTEXTS", filepath.Join(dir, "contexts.yaml"))
			if from != "" {
				t.Setenv("AMENDS_CONTEXTS", filepath.Join(dir, "none.yaml"))
			}
			refused := false
			for _, line := range spoken[command] {
				var out, errs bytes.Buffer
				args := strings.Fields(strings.NewReplacer("NAME", "odd", "FILE", "right.yaml", "DIR", dir, "SERVER", "http://127.0.0.1:1").Replace(line) + " " + from)
				code := Run(t.Context(), args, strings.NewReader(""), &out, &errs)
				refused = refused || code == ExitUsage && strings.Contains(errs.String(), "without TLS") && strings.Contains(errs.String(), "--plaintext-token")
				if strings.Contains(out.String()+errs.String(), "swordfish") {
					t.Errorf("coordinator %v shows the token: %s%s", args, out.String(), errs.String())
				}
			}
			if !refused {
				t.Errorf("coordinator %s %s sends the token without TLS", command, from)
			}
		}
	}
}

// TestRedirectsAreNotFollowed checks that the target of a redirect gets neither the token nor the
// request.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	t.Setenv("AMENDS_CONTEXTS", filepath.Join(t.TempDir(), "none.yaml"))
	t.Setenv("AMENDS_TOKEN", "swordfish")
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(elsewhere.URL, "http://", "http://ada:catfish@", 1)+r.URL.Path, status)
		}))
		for _, line := range []string{"list", "show order-42", "watch", "cancel --where-open --reason x --by ada --yes", "backup " + filepath.Join(t.TempDir(), "b.db")} {
			var out, errs bytes.Buffer
			code := Run(t.Context(), append(strings.Fields(line), "--server", server.URL), strings.NewReader(""), &out, &errs)
			if said := errs.String(); code != ExitUsage || !strings.Contains(said, "redirects to http://********@") || !strings.Contains(said, "--server") {
				t.Errorf("%s, %d: exit code %d, %s", line, status, code, said)
			}
		}
		server.Close()
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the redirect target got %s requests", fmt.Sprint(n))
	}
}

// TestServerWithPassword checks that a server URL with user and password is refused, and that the
// error does not show them.
func TestServerWithPassword(t *testing.T) {
	t.Setenv("AMENDS_CONTEXTS", filepath.Join(t.TempDir(), "none.yaml"))
	for _, server := range []string{"http://ada:swordfish@127.0.0.1:1", "https://swordfish@sagas.example.com", "http://ada:sword fish@h:%zz", "ada:swordfish@127.0.0.1:1"} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), []string{"list", "--server", server}, strings.NewReader(""), &out, &errs)
		if code != ExitUsage || strings.Contains(errs.String(), "fish") {
			t.Errorf("%s: exit code %d, %s", server, code, errs.String())
		}
	}
}
