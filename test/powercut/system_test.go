//go:build linux && lab

package powercut

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/server"
	"github.com/amends-dev/amends/transport/natsbus"
)

// system is a coordinator process whose data, including its NATS server's streams, is on a disk
// with power cuts. Callers and participants use it as if from other machines.
type system struct {
	t      *testing.T
	disk   *disk
	books  string // parent directory of the participants' books
	ready  string // ready file of the coordinator
	port   string
	client *client.Client
	loads  []*world.Load

	child *child
	log   *output
	http  string
}

// transferMoney has timeouts so short that outcomes become unknown while the coordinator is
// stopped.
var transferMoney = world.DefineTransfer(time.Second, 10)

// output holds what a process has printed so far.
type output struct {
	mu   sync.Mutex
	said bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.String()
}

// newSystem returns a system whose coordinator is not running yet.
func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{
		t: t, disk: newDisk(t), ready: filepath.Join(t.TempDir(), "ready"),
		books: t.TempDir(),
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(free.Addr().String())
	_ = free.Close()
	s.disk.mount()
	return s
}

// start starts the coordinator's process.
func (s *system) start() {
	s.t.Helper()
	_ = os.Remove(s.ready)
	s.log = &output{}
	args := []string{
		"serve", "--data-dir", filepath.Join(s.disk.dir, "data"), "--nats-listen", "127.0.0.1:" + s.port,
		"--http", "127.0.0.1:0", "--ready-file", s.ready, "--log-level", "warn", "--log-format", "text",
	}
	s.child = start(s.t, s.log, roleEnv+"=coordinator", argsEnv+"="+strings.Join(args, "\n"))
}

// await waits until the coordinator takes work. It returns false if the power was cut before.
func (s *system) await() bool {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(world.Limit); ; {
		select {
		case <-tick.C:
		case <-s.disk.cuts:
			s.disk.cuts <- struct{}{} // for the caller that waits for the cut
			return false
		case <-deadline:
			s.t.Fatalf("the coordinator is not ready within %s; it says: %s", world.Limit, s.log.String())
		}
		var at struct{ HTTP string }
		if data, err := os.ReadFile(s.ready); err == nil && json.Unmarshal(data, &at) == nil {
			s.http = at.HTTP
			return true
		}
		select {
		case _, open := <-s.child.lines:
			if !open {
				s.t.Fatalf("the coordinator ended while it started; it says: %s", s.log.String())
			}
		default:
		}
	}
}

// connect starts the participants, registers the definition and creates the client. It must be
// called when the coordinator runs for the first time.
func (s *system) connect() {
	s.t.Helper()
	config := natsbus.Config{URL: "nats://127.0.0.1:" + s.port, Name: "callers", Logger: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	waiting, cancel := context.WithTimeout(ctx, world.Limit)
	defer cancel()
	bus, err := natsbus.Connect(waiting, config)
	if err != nil {
		stop()
		s.t.Fatal(err)
	}
	done := make(chan error, len(world.Participants))
	s.t.Cleanup(func() {
		stop()
		for range world.Participants {
			if err := <-done; err != nil {
				s.t.Errorf("a participant: %v", err)
			}
		}
		_ = bus.Close()
	})
	for _, name := range world.Participants {
		dir := filepath.Join(s.books, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			done <- err
			continue
		}
		go func() { done <- world.Serve(ctx, world.Service{Name: name, Dir: dir, Bus: config}) }()
	}
	s.client = client.New(bus, client.RequestTimeout(time.Second))
	if _, err := s.client.Register(ctx, transferMoney); err != nil {
		s.t.Fatal(err)
	}
}

// call starts n callers that start sagas until stop is called.
func (s *system) call(name string, n int) (stop func()) {
	l := world.NewLoad(transferMoney)
	s.loads = append(s.loads, l)
	places := make(chan struct{}, 1<<12)
	for c := range n {
		l.Call(world.Caller{
			Name: fmt.Sprintf("%s-%d", name, c), Client: s.client, Rng: rngOf(*seed, fmt.Sprint(name, c)), Places: places,
			Pause: func() time.Duration { return 0 },
		})
	}
	s.t.Cleanup(l.GiveUp)
	return l.GiveUp
}

// runs returns the runs of all callers.
func (s *system) runs() (all []world.Run) {
	for _, l := range s.loads {
		all = append(all, l.All()...)
	}
	return all
}

// acked counts the sagas that were acknowledged.
func (s *system) acked() (n int) {
	for _, r := range s.runs() {
		if !r.Acked.IsZero() {
			n++
		}
	}
	return n
}

// finish waits until every saga has ended, stops the coordinator, and audits.
func (s *system) finish() {
	s.t.Helper()
	for _, l := range s.loads {
		l.Finish(s.client)
	}
	s.child.kill()
	result, err := world.Examine(s.t.Context(), filepath.Join(s.disk.dir, "data", server.StoreFile), transferMoney, s.runs(), s.books)
	if err != nil {
		s.t.Fatalf("%v; the coordinator says: %s", err, s.log.String())
	}
	result.Report(s.t)
	if s.t.Failed() {
		s.t.Logf("the coordinator says: %s", s.log.String())
	}
}
