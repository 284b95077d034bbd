package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amends-dev/amends/internal/access"
	apiv1 "github.com/amends-dev/amends/proto/amends/api/v1"
	"github.com/amends-dev/amends/proto/amends/api/v1/apiv1connect"
	"github.com/amends-dev/amends/server"
)

// taken exceeds what any route reads of a body, including the connection's buffers.
const taken = 32 << 20

var (
	mounted  = regexp.MustCompile(`\bmux\.Handle(?:Func)?\("([^"]+)"`)
	computed = regexp.MustCompile(`\bmux\.Handle(?:Func)?\(([^"\n]+)`)
)

// registered returns the patterns of all routes. It finds literals in the source. Patterns of
// generated code are listed here, and counted in the generated files.
func registered(t *testing.T) map[string]bool {
	t.Helper()
	patterns, others := map[string]bool{}, 0
	for _, dir := range []string{"../internal/observe", "../internal/access", "../internal/httpapi", "."} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range mounted.FindAllSubmatch(source, -1) {
				patterns[string(m[1])] = true
			}
			others += len(computed.FindAll(source, -1))
		}
	}
	generated := []string{"/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}
	if want := len(generated) + 1; others != want { // and the pattern of the service
		t.Fatalf("generated code mounts %d routes, but %d are listed here: add the new one", others, want)
	}
	for _, path := range generated {
		patterns["POST "+path] = true
	}
	methods := apiv1.File_amends_api_v1_api_proto.Services().ByName("CoordinatorService").Methods()
	for i := range methods.Len() {
		patterns["POST /"+apiv1connect.CoordinatorServiceName+"/"+string(methods.Get(i).Name())] = true
	}
	return patterns
}

// flood is an endless body. Reading too much of it fails.
type flood struct {
	begin io.Reader
	sent  atomic.Int64
}

func (f *flood) Read(p []byte) (int, error) {
	n, _ := f.begin.Read(p)
	if n == 0 {
		n = copy(p, block)
	}
	if f.sent.Add(int64(n)) > taken {
		return 0, errTaken
	}
	return n, nil
}

var block = bytes.Repeat([]byte{'x'}, 16<<10)

var errTaken = errors.New("somebody reads all that is sent")

const part = "--x\r\nContent-Disposition: form-data; name=\"next\"; filename=\"f\"\r\nContent-Type: application/octet-stream\r\n\r\n"

// TestNoRouteReadsWhatItDoesNotNeed sends endless bodies to each route, with and without a token,
// over HTTP/1 and HTTP/2. The server reads little of a body, writes none of it to a file, and then
// answers or closes the connection (I10).
func TestNoRouteReadsWhatItDoesNotNeed(t *testing.T) {
	secret, line, err := access.NewToken("ada", access.RoleAdmin, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	data, file, temporary := t.TempDir(), filepath.Join(t.TempDir(), "tokens"), t.TempDir()
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temporary)
	d := start(t, server.Config{DataDir: data, HTTP: "127.0.0.1:0", Pprof: true, Access: server.Access{
		Tokens: file, PublicURL: "https://sagas.example.com", OIDC: server.OIDC{Issuer: "http://127.0.0.1:1", ClientID: "amends"},
	}})
	small := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if tcp, ok := c.(*net.TCPConn); ok {
			err = tcp.SetWriteBuffer(64 << 10) // small, so that the kernel buffers few unread bytes
		}
		return c, err
	}
	one, two := &http.Transport{DialContext: small}, &http.Transport{DialContext: small, Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(func() { one.CloseIdleConnections(); two.CloseIdleConnections() })
	routes := registered(t)
	for _, known := range []string{"GET /auth/login", "GET /auth/callback", "POST /backup", "GET /debug/pprof/profile", "/"} {
		if !routes[known] {
			t.Errorf("%s is not found among %d routes", known, len(routes))
		}
	}
	var all errgroup.Group
	all.SetLimit(8)
	for pattern := range routes {
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			method, path = http.MethodPost, pattern
		}
		for _, key := range []string{"", secret} {
			all.Go(func() error {
				floods(t, one, method, d.HTTP+path, key, "multipart/form-data; boundary=x")
				floods(t, one, method, d.HTTP+path, key, "application/json")
				floods(t, two, method, d.HTTP+path, key, "application/grpc")
				return nil
			})
		}
	}
	_ = all.Wait()
	left, err := os.ReadDir(temporary)
	if err != nil || len(left) > 0 {
		t.Errorf("in the temporary directory lie %v, %v", left, err)
	}
}

// floods sends one endless body. Only routes that need a body may read it.
func floods(t *testing.T, transport http.RoundTripper, method, address, key, kind string) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	body := &flood{begin: strings.NewReader("")}
	if strings.HasPrefix(kind, "multipart") {
		body.begin = strings.NewReader(part)
	}
	for _, length := range []int64{-1, 1 << 40} {
		if length < 0 && strings.HasSuffix(address, "/profile") {
			continue // would take half a minute
		}
		r, err := http.NewRequestWithContext(ctx, method, address, body)
		if err != nil {
			t.Error(err)
			return
		}
		r.ContentLength = length
		r.Header.Set("Content-Type", kind)
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		response, err := transport.RoundTrip(r)
		what := strings.Join([]string{method, address, kind}, " ")
		if errors.Is(err, errTaken) || ctx.Err() != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if err != nil {
			continue // the connection was closed before a late answer on a busy machine
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		tooLong := slices.Contains([]int{http.StatusRequestEntityTooLarge, http.StatusTooManyRequests}, response.StatusCode)
		if length > 0 && key != "" && !tooLong && kind != "application/grpc" && response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s, %d bytes announced: %s", what, length, response.Status)
		}
	}
}
