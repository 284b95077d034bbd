package cli

import (
	"bytes"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// asking maps command lines that call a coordinator to the hint that is printed if a change gets no
// answer. The hint is "" for commands that change nothing.
var asking = map[string]string{
	"list":                                 "",
	"list --count":                         "",
	"show order-1":                         "",
	"wait order-1":                         "",
	"watch order-1":                        "",
	"history order-1":                      "",
	"export":                               "",
	"orphans keys.txt":                     "",
	"backup copy.db":                       "",
	"dead-letters list":                    "",
	"dead-letters show 1":                  "",
	"dead-letters purge --all --dry-run":   "",
	"definition list":                      "",
	"definition show checkout":             "",
	"start checkout --id order-1":          "may have been started; repeat the command with --id order-1",
	"cancel order-1 --by a --reason x":     "may have been taken; check with: coordinator history order-1",
	"retry order-1 --by a --reason x":      "may have been taken",
	"skip order-1 --by a --reason x":       "may have been taken",
	"abandon order-1 --by a --reason x":    "may have been taken",
	"pause order-1 --by a --reason x":      "may have been taken",
	"resume order-1 --by a --reason x":     "may have been taken",
	"compensate order-1 --by a --reason x": "may have been taken",
	"resolve order-1 --outcome rejected --by a --reason x": "may have been taken",
	"remove-damaged order-1 --by a --reason x":             "may have been removed; check with",
	"dead-letters replay 1":                                "may have been replayed",
	"dead-letters discard 1":                               "may have been removed",
	"dead-letters purge --all":                             "may have been removed",
	"definition apply tea.yaml":                            "may have been registered",
}

// ask runs command lines against a server.
func ask(t *testing.T, url string, lines map[string]string, flags []string, check func(line, change string, code int, says string)) {
	t.Helper()
	t.Chdir(t.TempDir())
	for path, data := range map[string]string{"keys.txt": rightKey, "tea.yaml": rightYAML} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for line, change := range lines {
		var out, errs bytes.Buffer
		code := Run(t.Context(), append(append(strings.Fields(line), "--server", url), flags...), strings.NewReader(""), &out, &errs)
		check(line, change, code, errs.String())
	}
}

// TestBrokenOff checks a connection that ends before the answer is complete, in several ways. The
// exit code is ExitNotReachable, and there is a hint. For a change, the hint says that it may have
// had an effect.
func TestBrokenOff(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: "
	for name, breaks := range map[string]func(w io.Writer, kind string){
		"no answer":   func(io.Writer, string) {},
		"half a head": func(w io.Writer, kind string) { _, _ = io.WriteString(w, head+kind+"\r\n") },
		"no body":     func(w io.Writer, kind string) { _, _ = io.WriteString(w, head+kind+"\r\nContent-Length: 100\r\n\r\n") },
		"half a body": func(w io.Writer, kind string) {
			_, _ = io.WriteString(w, head+kind+"\r\nContent-Length: 100\r\n\r\n\n\x01x")
		},
		"in chunks": func(w io.Writer, kind string) {
			_, _ = io.WriteString(w, head+kind+"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n")
		},
	} {
		for _, reset := range []bool{false, true} {
			if reset && name != "no answer" && name != "half a body" {
				continue
			}
			t.Run(name, func(t *testing.T) {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					conn, rest, err := w.(http.Hijacker).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					breaks(rest, r.Header.Get("Content-Type"))
					_ = rest.Flush()
					if tcp, ok := conn.(*net.TCPConn); ok && reset {
						_ = tcp.SetLinger(0)
					}
					_ = conn.Close()
				}))
				defer server.Close()
				ask(t, server.URL, asking, nil, func(line, change string, code int, says string) {
					if code != ExitNotReachable || strings.Contains(says, "Post \"") || !strings.Contains(says, "\n  ") || !strings.Contains(says, change) {
						t.Errorf("coordinator %s (reset %t): exit code %d, output %s", line, reset, code, says)
					}
				})
			})
		}
	}
}

// TestTimeoutOfAChange checks that if a change times out, the hint says that it may have had an
// effect.
func TestTimeoutOfAChange(t *testing.T) {
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer server.Close()
	defer close(done)
	changes := maps.Clone(asking)
	maps.DeleteFunc(changes, func(_, change string) bool { return change == "" })
	ask(t, server.URL, changes, []string{"--timeout", "5ms"}, func(line, change string, code int, says string) {
		if code != ExitNotReachable || !strings.Contains(says, change) {
			t.Errorf("coordinator %s: exit code %d, output %s", line, code, says)
		}
	})
}

// TestNobodySawIt checks that if no server was reached, no hint says that a change may have had an
// effect.
func TestNobodySawIt(t *testing.T) {
	ask(t, "http://127.0.0.1:1", asking, nil, func(line, change string, code int, says string) {
		if code != ExitNotReachable || strings.Contains(says, "may have been") || !strings.Contains(says, "--server") {
			t.Errorf("coordinator %s: exit code %d, output %s", line, code, says)
		}
	})
}
