package console

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:generate npm --prefix web run build

//go:embed dist
var dist embed.FS

// policy lets a page load scripts, styles, images and data only from its own origin. No other page
// may embed it in a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// types maps file extensions to media types. The system's table is not used, because it may lack
// these extensions or map them to other types.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// pages lists the first path segments for which the page itself decides what to show.
var pages = map[string]bool{"": true, "sagas": true, "definitions": true, "dead-letters": true}

// Handler serves the console at / and at every path below it that no other pattern of the mux
// matches. It answers GET and HEAD.
func Handler() http.Handler {
	files := map[string]*file{}
	for _, name := range assets() {
		files["/"+name] = load(name)
	}
	page := load("index.html")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		switch f := files[r.URL.Path]; {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the console is read-only: use GET", http.StatusMethodNotAllowed)
		case f != nil:
			f.ServeHTTP(w, r)
		case pages[first]:
			page.ServeHTTP(w, r)
		default:
			http.Error(w, "not found: the console is at /, the API at /amends.api.v1.CoordinatorService/", http.StatusNotFound)
		}
	})
}

// assets returns the names of the files that the page loads.
func assets() []string {
	names, err := fs.Glob(dist, "dist/assets/*")
	if err != nil || len(names) == 0 {
		panic("console: dist/assets is empty; build it: go generate ./console") // cannot happen: the files are embedded
	}
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], "dist/")
	}
	return names
}

// file is one file of the console, ready to send.
type file struct {
	name          string
	plain, zipped []byte
	forever       bool // its name changes with its content, so it can be cached forever
}

func load(name string) *file {
	content, err := dist.ReadFile("dist/" + name)
	if err != nil {
		panic("console: " + err.Error()) // cannot happen: the files are embedded
	}
	return newFile(name, content)
}

func newFile(name string, content []byte) *file {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(content) // writing to a buffer never fails
	_ = w.Close()
	return &file{name: name, plain: content, zipped: b.Bytes(), forever: strings.HasPrefix(name, "assets/")}
}

// ServeHTTP sends the file, compressed if the client accepts it.
func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", types[path.Ext(f.name)])
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	if f.forever {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-store")
	}
	content := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && len(f.zipped) < len(f.plain) {
		h.Set("Content-Encoding", "gzip")
		content = f.zipped
	}
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(content))
}
