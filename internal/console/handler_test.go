package console_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/amends-dev/amends/internal/console"
)

// reply is a response of the handler.
type reply struct {
	code   int
	header http.Header
	body   []byte
}

func ask(method, path, encoding string) reply {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Accept-Encoding", encoding)
	w := httptest.NewRecorder()
	console.Handler().ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.Bytes()}
}

// TestThePageIsAtItsAddresses checks that every address of the console serves the page, with its
// security headers.
func TestThePageIsAtItsAddresses(t *testing.T) {
	for _, path := range []string{"/", "/sagas", "/sagas/order-42", "/definitions/checkout/3", "/dead-letters"} {
		r := ask(http.MethodGet, path, "")
		if r.code != http.StatusOK || r.header.Get("Cache-Control") != "no-store" || !strings.Contains(string(r.body), `<div id="console">`) {
			t.Errorf("%s: %d, %v", path, r.code, r.header)
		}
		policy := r.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || regexp.MustCompile(`https?:|\*`).MatchString(policy) {
			t.Errorf("%s: the policy allows too much: %s", path, policy)
		}
	}
	for _, path := range []string{"/nothing", "/assets/console.js", "/assets/", "/index.html"} {
		if r := ask(http.MethodGet, path, ""); r.code != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.code)
		}
	}
	if r := ask(http.MethodPost, "/sagas", ""); r.code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", r.code)
	}
}

// TestWhatThePageLoads checks that the files of the page exist. They are cached forever, and
// compressed for clients that accept it.
func TestWhatThePageLoads(t *testing.T) {
	page := string(ask(http.MethodGet, "/", "").body)
	names := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(names) != 4 {
		t.Fatalf("the page loads %v", names)
	}
	types := map[string]string{"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
	for _, match := range names {
		name := match[1]
		plain, zipped := ask(http.MethodGet, name, ""), ask(http.MethodGet, name, "gzip, br")
		if plain.code != http.StatusOK || !strings.Contains(plain.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %v", name, plain.code, plain.header)
		}
		if want := types[name[strings.LastIndexByte(name, '.')+1:]]; plain.header.Get("Content-Type") != want {
			t.Errorf("%s is %s, want %s", name, plain.header.Get("Content-Type"), want)
		}
		same := zipped.body
		if zipped.header.Get("Content-Encoding") == "gzip" {
			unzip, err := gzip.NewReader(bytes.NewReader(zipped.body))
			if err != nil {
				t.Fatal(err)
			}
			if same, err = io.ReadAll(unzip); err != nil {
				t.Fatal(err)
			}
		} else if strings.Contains(name, "/console-") {
			t.Errorf("%s is not compressed", name)
		}
		if !bytes.Equal(same, plain.body) {
			t.Errorf("%s differs when compressed", name)
		}
	}
	if strings.Contains(page, "<style") || strings.Contains(page, " style=") || regexp.MustCompile(`<script>`).MatchString(page) {
		t.Error("the page has inline script or style, which its policy forbids")
	}
}
