//go:build linux && lab

package reliability

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/internal/natstest"
)

// system holds all processes and the roads between them.
type system struct {
	dir       string
	processes map[string]*process
	proxies   map[string]*world.Proxy // keyed by the process that uses it; the test's key is load
	server    atomic.Value            // string: its URL, not through a proxy
	struck    string                  // the process that the current fault hit
}

// newSystem starts all processes and cleans up after them.
func newSystem(t *testing.T, bug string) *system {
	t.Helper()
	s := &system{dir: t.TempDir(), processes: map[string]*process{}, proxies: map[string]*world.Proxy{}}
	t.Cleanup(func() { s.close(t) })
	for _, name := range append([]string{"coordinator", "load"}, world.Participants...) {
		p, err := world.NewProxy()
		if err != nil {
			t.Fatal(err)
		}
		s.proxies[name] = p
	}
	for _, name := range append([]string{"bus", "coordinator"}, world.Participants...) {
		dir := filepath.Join(s.dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		p := &process{name: name, log: filepath.Join(s.dir, name+".log"), env: []string{roleEnv + "=" + name, dirEnv + "=" + dir, plantEnv + "=" + bug}}
		if road := s.proxies[name]; road != nil {
			p.env = append(p.env, urlEnv+"="+road.URL())
		}
		s.processes[name] = p
	}
	s.bus().onReady = s.aim
	if err := s.startBus(); err != nil {
		t.Fatal(err)
	}
	for _, name := range s.names() {
		if name == "bus" {
			continue
		}
		if err := s.processes[name].start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range s.names() {
		if err := s.processes[name].awaitReady(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *system) bus() *process         { return s.processes["bus"] }
func (s *system) coordinator() *process { return s.processes["coordinator"] }

// names returns the names of the processes, starting with the bus.
func (s *system) names() []string {
	return append([]string{"bus", "coordinator"}, world.Participants...)
}

// aim points all proxies at the current address of the server.
func (s *system) aim(where string) {
	u, err := url.Parse(where)
	if err != nil {
		return // the processes then have no server, which the test notices
	}
	s.server.Store(where)
	for _, p := range s.proxies {
		p.Aim(u.Host)
	}
}

// startBus starts the server and waits until it is ready.
func (s *system) startBus() error {
	if err := s.bus().start(); err != nil {
		return err
	}
	return s.bus().awaitReady()
}

// wipe deletes the server's data. The server must not be running.
func (s *system) wipe() error {
	if found, err := filepath.Glob(filepath.Join(s.dir, "bus", "jetstream", "*")); err != nil || len(found) == 0 {
		return errors.Join(err, errors.New("the server has kept nothing that could be lost"))
	}
	return os.RemoveAll(filepath.Join(s.dir, "bus"))
}

// byHand changes streams with a plain JetStream client, without the coordinator knowing.
func (s *system) byHand(do func(context.Context, jetstream.JetStream) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), world.Limit)
	defer cancel()
	nc, err := natstest.Connect(s.server.Load().(string))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return do(ctx, js)
}

// awaitDrained waits until no command and no event is queued.
func (s *system) awaitDrained() error {
	var waiting []string
	err := world.Poll("commands and events are all dealt with", func() bool {
		err := s.byHand(func(ctx context.Context, js jetstream.JetStream) error {
			waiting = nil
			for _, name := range queues {
				stream, err := js.Stream(ctx, name)
				if err != nil {
					return err
				}
				info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
				if err != nil {
					return err
				}
				n := info.State.Msgs
				for subject, of := range info.State.Subjects {
					if strings.Contains(subject, "._owner.") { // the claim stays in the stream
						n -= of
					}
				}
				if n > 0 {
					waiting = append(waiting, fmt.Sprintf("%s has %d", name, n))
				}
			}
			return nil
		})
		return err == nil && len(waiting) == 0
	})
	if err != nil {
		return fmt.Errorf("%w (%s)\n%s", err, strings.Join(waiting, ", "), s.queuesNow())
	}
	return nil
}

// queuesNow describes the queues: the first message of each, and its consumers.
func (s *system) queuesNow() string {
	var b strings.Builder
	err := s.byHand(func(ctx context.Context, js jetstream.JetStream) error {
		for _, name := range queues {
			stream, err := js.Stream(ctx, name)
			if err != nil {
				return fmt.Errorf("stream %s: %w", name, err)
			}
			state := stream.CachedInfo().State
			fmt.Fprintf(&b, "    %s, made %s: %d messages, %d to %d\n", name, stream.CachedInfo().Created.Format(clock), state.Msgs, state.FirstSeq, state.LastSeq)
			if m, err := stream.GetMsg(ctx, state.FirstSeq); err == nil {
				fmt.Fprintf(&b, "      the first: %s, stored %s\n", m.Subject, m.Time.Format(clock))
			}
			consumers := stream.ListConsumers(ctx)
			for c := range consumers.Info() {
				fmt.Fprintf(&b, "      consumer %s, made %s: delivered up to %d, acknowledged up to %d, %d not acknowledged, %d not delivered, %d delivered again, %d requests wait\n",
					c.Name, c.Created.Format(clock), c.Delivered.Stream, c.AckFloor.Stream, c.NumAckPending, c.NumPending, c.NumRedelivered, c.NumWaiting)
			}
			if err := consumers.Err(); err != nil {
				return fmt.Errorf("consumers of %s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		fmt.Fprintf(&b, "    and then: %v\n", err)
	}
	return b.String()
}

// close kills every process, whatever its state, and prints the ends of the logs if the test
// failed.
func (s *system) close(t *testing.T) {
	for _, p := range s.proxies {
		p.Heal()
	}
	for _, p := range s.processes {
		if l := p.leave(); l != nil {
			_ = l.Signal(9)
			if err := world.AwaitClosed(l.Exited(), p.name+" is gone"); err != nil {
				t.Error(err)
			}
		}
	}
	for _, p := range s.proxies {
		p.Close()
	}
	if !t.Failed() {
		return
	}
	for _, name := range s.names() {
		t.Logf("the end of the log of %s:\n%s", name, world.Tail(s.processes[name].log, 30))
	}
}
