package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/server"
)

// findRestate returns the path of restate-server in node_modules.
func findRestate() (string, error) {
	arch := map[string]string{"amd64": "x64"}
	platform := runtime.GOOS + "-" + cmp.Or(arch[runtime.GOARCH], runtime.GOARCH)
	path, err := filepath.Abs("node_modules/@restatedev/restate-server-" + platform + "/bin/restate-server")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no restate-server: %w; run npm ci in test/peers, or name one with --restate", err)
	}
	return path, nil
}

// config is the server's configuration: loopback, no telemetry, and the number of partitions.
// Everything else is the default, in particular log-server.rocksdb-disable-wal-fsync = false.
const config = `cluster-name = "peers"
node-name = "peer"
default-num-partitions = %[4]d
disable-telemetry = true
log-format = "compact"
log-disable-ansi-codes = true
listen-mode = "tcp"
bind-address = "%[1]s"
advertised-address = "http://%[1]s/"

[ingress]
bind-address = "%[2]s"

[admin]
bind-address = "%[3]s"
disable-web-ui = true
`

// peer is a running restate-server with the services of a mix.
type peer struct {
	fabric, ingress, admin string // addresses
	log                    string // path of the server's output
	server                 *exec.Cmd
	ended                  chan struct{} // closed when the server has ended
	services               []*http.Server
	client                 *http.Client
	keys                   bool // callers send idempotency keys
}

// startRestate starts a server with an empty data directory in dir, and registers the services.
func startRestate(ctx context.Context, dir string, r run) (p *peer, err error) {
	p = &peer{
		log: filepath.Join(dir, "restate.log"), keys: r.keys,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: r.inFlight}},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	if err := p.startServer(r.restate, dir, r.partitions); err != nil {
		return p, fmt.Errorf("start %s: %w", r.restate, err)
	}
	if err := p.until(ctx, func(ctx context.Context) error { return p.get(ctx, p.admin, "/health") }); err != nil {
		return p, err
	}
	for _, definition := range services(r.mix) {
		if err := p.serve(ctx, definition); err != nil {
			return p, fmt.Errorf("service %s: %w", definition.Name(), err)
		}
	}
	return p, p.until(ctx, func(ctx context.Context) error { return p.get(ctx, p.ingress, "/restate/health") })
}

func (p *peer) startServer(path, dir string, partitions int) error {
	var ports [3]string
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close() // when all three have different ports
		ports[i] = l.Addr().String()
	}
	p.fabric, p.ingress, p.admin = ports[0], ports[1], ports[2]
	file := filepath.Join(dir, "restate.toml")
	text := fmt.Sprintf(config, p.fabric, p.ingress, p.admin, partitions)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	output, err := os.Create(p.log)
	if err != nil {
		return err
	}
	defer output.Close() // the server has its own
	command := exec.Command(path, "--no-logo", "--config-file", file, "--base-dir", filepath.Join(dir, "restate"))
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		return err
	}
	p.server, p.ended = command, make(chan struct{})
	go func() {
		_ = command.Wait() // its log says why
		close(p.ended)
	}()
	return nil
}

// serve starts a service at an address of its own, as a service in its own process would, and
// registers it.
func (p *peer) serve(ctx context.Context, definition restate.ServiceDefinition) error {
	endpoint := server.NewRestate().WithLogger(slog.DiscardHandler, true).Bind(definition)
	handler, err := endpoint.Handler()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	service := &http.Server{Handler: handler, Protocols: &http.Protocols{}, ReadHeaderTimeout: 5 * time.Second}
	service.Protocols.SetUnencryptedHTTP2(true)
	p.services = append(p.services, service)
	go func() { _ = service.Serve(listener) }() // until stop
	body := fmt.Sprintf(`{"uri": "http://%s/"}`, listener.Addr())
	return p.until(ctx, func(ctx context.Context) error {
		return p.post(ctx, "http://"+p.admin+"/deployments", []byte(body), "", http.StatusCreated, nil)
	})
}

// one runs one saga and waits for its result.
func (p *peer) one(ctx context.Context, n int64, mix string) error {
	body, err := json.Marshal(input(n))
	if err != nil {
		return err
	}
	key := ""
	if p.keys {
		key = "order-" + strconv.FormatInt(n, 10)
	}
	if mix == compensating {
		return p.post(ctx, "http://"+p.ingress+"/checkout/run", body, key, rejected, nil)
	}
	var result done
	if err := p.post(ctx, "http://"+p.ingress+"/checkout/run", body, key, http.StatusOK, &result); err != nil {
		return err
	}
	if result != answer(input(n)) {
		return fmt.Errorf("saga %d ended with the result %+v, want %+v", n, result, answer(input(n)))
	}
	return nil
}

// post sends a request, and decodes the answer into result unless that is nil. An empty key is no
// idempotency key.
func (p *peer) post(ctx context.Context, url string, body []byte, key string, want int, result any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	answer, err := p.do(request, want)
	if err != nil || result == nil {
		return err
	}
	return json.Unmarshal(answer, result)
}

func (p *peer) get(ctx context.Context, address, path string) error {
	_, err := p.fetch(ctx, address, path)
	return err
}

func (p *peer) fetch(ctx context.Context, address, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	return p.do(request, http.StatusOK)
}

func (p *peer) do(request *http.Request, want int) (answer []byte, err error) {
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s, want %d: %s", request.Method, request.URL, response.Status, want, answer)
	}
	return answer, nil
}

// readyTimeout limits the wait for the server to start and to accept the services.
const readyTimeout = time.Minute

// until calls ready until it succeeds, the server ends, or readyTimeout has passed.
func (p *peer) until(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	var last error
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-again.C:
		case <-p.ended:
			return fmt.Errorf("restate-server ended; its last words: %s", lastLines(p.log))
		case <-ctx.Done():
			return fmt.Errorf("restate-server is not ready: %w; its last words: %s", cmp.Or(last, err), lastLines(p.log))
		}
	}
}

// lastLines returns the end of a log.
func lastLines(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

// walSyncs is the metric that counts the fsyncs of the log. Restate acknowledges a step after the
// log server has appended it.
const walSyncs = "restate_rocksdb_wal_synced_total"

// count returns the CPU time of the server, services and callers, and the fsyncs of the log.
func (p *peer) count(ctx context.Context) (counters, error) {
	server, err := cpuOf(p.server.Process.Pid)
	if err != nil {
		return counters{}, err
	}
	metrics, err := p.fetch(ctx, p.fabric, "/metrics")
	if err != nil {
		return counters{}, err
	}
	syncs, err := sample(string(metrics), walSyncs, `db="log-server"`)
	return counters{server, cpuOfSelf(), syncs}, err
}

// sample returns the value of a metric with a label.
func sample(metrics, name, label string) (float64, error) {
	for sample := range strings.Lines(metrics) {
		if !strings.HasPrefix(sample, name+"{") || !strings.Contains(sample, label) {
			continue
		}
		return strconv.ParseFloat(strings.TrimSpace(sample[strings.LastIndexByte(sample, '}')+1:]), 64)
	}
	return 0, fmt.Errorf("the server has no metric %s{%s}; is it a version of Restate other than package.json's?", name, label)
}

// stop ends the server and the services.
func (p *peer) stop() error {
	var errs []error
	if p.server != nil {
		errs = append(errs, p.server.Process.Signal(syscall.SIGTERM))
		select {
		case <-p.ended:
		case <-time.After(readyTimeout):
			errs = append(errs, p.server.Process.Kill())
			<-p.ended
		}
	}
	for _, service := range p.services {
		errs = append(errs, service.Close())
	}
	p.client.CloseIdleConnections()
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, os.ErrProcessDone) })...)
}
