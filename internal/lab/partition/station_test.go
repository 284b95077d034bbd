//go:build linux && lab

package partition

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// station is a coordinator and a bank on loopback that can be restarted.
type station struct {
	dir  string
	data string // the coordinator's data directory; "" means below dir
	port int    // port of the NATS server
	args []string
}

func newStation(t *testing.T, args ...string) *station {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &station{dir: t.TempDir(), port: l.Addr().(*net.TCPAddr).Port, args: args}
	if len(args) == 0 {
		s.args = []string{"--nats-listen", fmt.Sprintf("127.0.0.1:%d", s.port)}
	}
	s.data = filepath.Join(s.dir, "coordinator", "data")
	return s
}

func (s *station) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }

// coordinator starts a coordinator under the limits in p.
func (s *station) coordinator(t *testing.T, p part, env ...string) *process {
	t.Helper()
	p.Args = append([]string{"--data-dir", s.data}, s.args...)
	return startCoordinator(t, nil, filepath.Join(s.dir, "coordinator"), p, env...)
}

func (s *station) bank(t *testing.T) *process {
	t.Helper()
	own := filepath.Join(s.dir, "bank")
	p := start(t, nil, "bank", own, part{Role: "bank", Dir: own, URL: s.url()})
	p.awaitReady(t)
	return p
}

// server starts a separate NATS server.
func (s *station) server(t *testing.T) {
	t.Helper()
	own := filepath.Join(s.dir, "server")
	start(t, nil, "server", own, part{Role: "server", Dir: own, Node: s.port}).awaitReady(t)
}

func playServer(ctx context.Context, p part) error {
	nats, err := embedded.Start(embedded.Config{StoreDir: filepath.Join(p.Dir, "jetstream"), Port: p.Node, ReadyTimeout: world.Limit})
	if err != nil {
		return err
	}
	defer nats.Shutdown()
	if err := os.WriteFile(filepath.Join(p.Dir, "ready"), nil, 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// flood starts large sagas one after the other until one is not acknowledged, at most the given
// number.
func (s *station) flood(t *testing.T, name string, size, most int) (runs []world.Run) {
	t.Helper()
	bus := s.connect(t)
	c := client.New(bus, client.RequestTimeout(time.Second))
	for n := range most {
		r := world.Run{ID: contract.SagaID(fmt.Sprintf("%s-%06d", name, n)), Input: world.Transfer{To: 1, Amount: 1, Refuse: n%4 == 0, Padding: strings.Repeat("x", size)}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := c.Start(ctx, transferMoney, r.Input, client.ID(r.ID))
		cancel()
		if err == nil {
			r.Acked = time.Now()
		}
		runs = append(runs, r)
		if err != nil {
			t.Logf("start %d of %d bytes: %v", n+1, size, err)
			return runs
		}
	}
	return runs
}

func (s *station) connect(t *testing.T) *natsbus.Bus {
	t.Helper()
	return connect(t, natsbus.Config{URL: s.url(), Name: "load"})
}

// finish waits until every acknowledged saga is at rest, stops everything, and
// audits.
func (s *station) finish(t *testing.T, runs []world.Run, all ...*process) {
	t.Helper()
	c := client.New(s.connect(t), client.RequestTimeout(time.Second))
	ctx, cancel := context.WithTimeout(t.Context(), world.Limit)
	defer cancel()
	for i := range runs {
		if r := &runs[i]; !r.Acked.IsZero() {
			if status, err := c.Wait(ctx, r.ID); err == nil {
				r.Ended, r.Told = time.Now(), *status
			}
		}
	}
	for _, p := range all {
		p.terminate(t)
	}
	audit(t, s.data, filepath.Join(s.dir, "bank"), runs)
}
