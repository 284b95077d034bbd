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

// asking are command lines that ask a coordinator, and what those that change something say
// when the answer does not come.
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
	"start checkout --id order-1":          "may have been started; ask again with --id order-1",
	"cancel order-1 --by a --reason x":     "may have been taken; see whether it was with: coordinator history order-1",
	"retry order-1 --by a --reason x":      "may have been taken",
	"skip order-1 --by a --reason x":       "may have been taken",
	"abandon order-1 --by a --reason x":    "may have been taken",
	"pause order-1 --by a --reason x":      "may have been taken",
	"resume order-1 --by a --reason x":     "may have been taken",
	"compensate order-1 --by a --reason x": "may have been taken",
	"resolve order-1 --outcome rejected --by a --reason x": "may have been taken",
	"remove-damaged order-1 --by a --reason x":             "may have been removed; see whether it was",
	"dead-letters replay 1":                                "may have been replayed",
	"dead-letters discard 1":                               "may have been removed",
	"dead-letters purge --all":                             "may have been removed",
	"definition apply tea.yaml":                            "may have been registered",
}

// ask runs command lines before a server.
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

// TestBrokenOff: however the connection to a coordinator ends before its answer is whole, the
// exit code is that of no answer, there is a hint, and who changes something is told that it
// may have happened.
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
						t.Errorf("coordinator %s (reset %t) exits %d and says %s", line, reset, code, says)
					}
				})
			})
		}
	}
}

// TestTimeoutOfAChange: who changes something is told that it may have happened, when the answer
// takes too long.
func TestTimeoutOfAChange(t *testing.T) {
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer server.Close()
	defer close(done)
	changes := maps.Clone(asking)
	maps.DeleteFunc(changes, func(_, change string) bool { return change == "" })
	ask(t, server.URL, changes, []string{"--timeout", "5ms"}, func(line, change string, code int, says string) {
		if code != ExitNotReachable || !strings.Contains(says, change) {
			t.Errorf("coordinator %s exits %d and says %s", line, code, says)
		}
	})
}

// TestNobodySawIt: what was sent to nobody cannot have been taken, and nobody says so.
func TestNobodySawIt(t *testing.T) {
	ask(t, "http://127.0.0.1:1", asking, nil, func(line, change string, code int, says string) {
		if code != ExitNotReachable || strings.Contains(says, "may have been") || !strings.Contains(says, "--server") {
			t.Errorf("coordinator %s exits %d and says %s", line, code, says)
		}
	})
}
