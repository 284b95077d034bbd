//go:build linux && lab

package powercut

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/transport/natsbus"
)

// system is a coordinator process with everything it keeps, the streams of its
// NATS server included, on a disk whose power may go; around it callers and a
// participant on other machines.
type system struct {
	t      *testing.T
	disk   *disk
	agency *agency
	ready  string // file
	port   string
	client *client.Client

	child *child
	log   *output
	http  string

	mu    sync.Mutex
	acked map[contract.SagaID]bool // whether the car is refused
}

// output is what a process has said so far.
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

// newSystem makes a system whose coordinator does not run yet.
func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{
		t: t, disk: newDisk(t), ready: filepath.Join(t.TempDir(), "ready"),
		agency: &agency{effects: map[contract.Key]int{}}, acked: map[contract.SagaID]bool{},
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

// await waits until the coordinator takes work. False: the power went before.
func (s *system) await() bool {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(limit); ; {
		select {
		case <-tick.C:
		case <-s.disk.cuts:
			s.disk.cuts <- struct{}{} // for whoever waits for it
			return false
		case <-deadline:
			s.t.Fatalf("the coordinator is not ready within %s; it says: %s", limit, s.log.String())
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

// connect lets the participant in, registers the definition and makes the
// client, once the coordinator runs for the first time.
func (s *system) connect() {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var buses []*natsbus.Bus
	for _, name := range []string{"agency", "callers"} {
		waiting, cancel := context.WithTimeout(ctx, limit)
		bus, err := natsbus.Connect(waiting, natsbus.Config{URL: "nats://127.0.0.1:" + s.port, Name: name})
		cancel()
		if err != nil {
			stop()
			s.t.Fatal(err)
		}
		buses = append(buses, bus)
	}
	done := make(chan error, 1)
	go func() { done <- s.agency.run(ctx, buses[0]) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			s.t.Errorf("the agency: %v", err)
		}
		for _, bus := range buses {
			_ = bus.Close()
		}
	})
	s.client = client.New(buses[1], client.Timeout(time.Second))
	if _, err := s.client.Register(ctx, travel); err != nil {
		s.t.Fatal(err)
	}
}

// call starts sagas, n callers at a time, until ctx ends. An acknowledgement is
// noted; that nobody answers is what the tests are for.
func (s *system) call(ctx context.Context, name string, n int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var callers sync.WaitGroup
	for c := range n {
		callers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := contract.SagaID(fmt.Sprintf("%s-%d-%d", name, c, i))
				full := i%5 == 4
				_, err := s.client.Start(ctx, travel, journey{To: string(id), Full: full}, client.ID(id))
				switch {
				case err == nil:
					s.mu.Lock()
					s.acked[id] = full
					s.mu.Unlock()
				case !errors.Is(err, client.ErrUnavailable):
					s.t.Errorf("start %s: %v", id, err)
					return
				}
			}
		})
	}
	return func() {
		cancel()
		callers.Wait()
	}
}

// finish waits until every acknowledged saga has ended and compares how with
// what the participant did.
func (s *system) finish() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	for id, full := range s.acked {
		status, err := s.client.Wait(ctx, id)
		if err != nil {
			s.t.Fatalf("acknowledged saga %s: %v\nthe coordinator says: %s", id, err, s.log.String())
		}
		s.agency.audit(s.t, status, full)
	}
}
