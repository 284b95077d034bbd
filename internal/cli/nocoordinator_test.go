package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// TestNoCoordinatorThere checks that if the server is not a coordinator, the error says so and
// names --server.
func TestNoCoordinatorThere(t *testing.T) {
	for name, page := range map[string]http.HandlerFunc{
		"page": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html><body>welcome") },
		"404":  http.NotFound,
		"json": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{}")
		},
		"untyped": func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil },
		"405":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusMethodNotAllowed) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(page)
			defer server.Close()
			ask(t, server.URL, asking, nil, func(line, _ string, code int, says string) {
				if strings.HasPrefix(line, "backup") {
					if _, err := os.Stat("copy.db"); err == nil {
						t.Error("a web page is kept as a backup")
					}
				}
				if code != ExitNotReachable || !strings.Contains(says, "is not a coordinator: it answered") || !strings.Contains(says, "--server") || strings.Contains(says, "may have been") {
					t.Errorf("coordinator %s: exit code %d, output %s", line, code, says)
				}
			})
		})
	}
}

// TestHealthOfNoCoordinator checks that a page of another server does not count as healthy.
func TestHealthOfNoCoordinator(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html><body>welcome") }))
	defer server.Close()
	for _, line := range []string{"healthcheck --http", "doctor --nats-url nats://127.0.0.1:1 --server"} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), append(strings.Fields(line), server.URL), strings.NewReader(""), &out, &errs)
		if all := out.String() + errs.String(); code == 0 || !strings.Contains(all, "is not a coordinator") {
			t.Errorf("coordinator %s: exit code %d, output %s", line, code, all)
		}
	}
}
