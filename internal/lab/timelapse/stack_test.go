//go:build lab

package timelapse

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// stack is a complete system in one bubble. Its components can be stopped and restarted on the same
// files.
type stack struct {
	t      *testing.T
	born   time.Time // virtual
	dir    string
	config natsbus.Config // configuration of every bus connection

	wire   wire
	server *embedded.Server

	coordBus *natsbus.Bus
	store    *boltstore.Store
	coord    *coordinator.Coordinator
	stopRun  func() error

	client *client.Client
	others []func() // functions that stop calls, last first
}

// wire connects clients in this process to the current server.
type wire struct {
	mu   sync.Mutex
	dial func() (net.Conn, error)
}

var errDown = errors.New("the server is down")

// InProcessConn implements nats.InProcessConnProvider.
func (w *wire) InProcessConn() (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dial == nil {
		return nil, errDown
	}
	return w.dial()
}

// live runs a scenario in a bubble, on a stack with a server and a client. It never waits in real
// time, so a month takes only as long as its computation.
//
// Each bubble has its own process, the test binary started again. The NATS client pools its timers
// per process, and a timer must not move from one bubble to another.
func live(t *testing.T, config natsbus.Config, story func(s *stack)) {
	t.Helper()
	if os.Getenv(inBubble) == "" {
		again(t)
		return
	}
	dir := t.TempDir() // created outside the bubble, because its clean-up runs outside
	begun := time.Now()
	var lived time.Duration
	synctest.Test(t, func(t *testing.T) {
		s := &stack{t: t, born: time.Now(), dir: dir, config: config}
		s.startServer()
		s.client = client.New(s.connect())
		story(s)
		lived = s.age()
		s.stopCoordinator()
		for _, stop := range slices.Backward(s.others) {
			stop()
		}
		s.stopServer()
	})
	t.Logf("%s passed in %s", lived.Round(time.Second), time.Since(begun).Round(time.Millisecond))
}

// inBubble is set in processes that run one scenario.
const inBubble = "AMENDS_TIMELAPSE_BUBBLE"

// again runs this test alone in a new process. Its timeout ends an endless loop, in which
// the virtual time would stand still. The longest scenario takes 200 s of processor time.
func again(t *testing.T) {
	t.Helper()
	name := "^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$"
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+name, "-test.v", "-test.timeout=10m")
	child.Env = append(os.Environ(), inBubble+"=yes")
	said, err := child.CombinedOutput()
	passed := regexp.MustCompile(`\S+ passed in \S+`).FindString(string(said))
	if err != nil || passed == "" {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Log(passed)
}

// age returns how much virtual time has passed.
func (s *stack) age() time.Duration { return time.Since(s.born) }

func (s *stack) startServer() {
	s.t.Helper()
	server, err := embedded.Start(embedded.Config{StoreDir: filepath.Join(s.dir, "nats"), SyncInterval: time.Hour})
	if err != nil {
		s.t.Fatal(err)
	}
	var options nats.Options
	if err := server.InProcess()(&options); err != nil {
		s.t.Fatal(err)
	}
	s.server = server
	s.wire.mu.Lock()
	s.wire.dial = options.InProcessServer.InProcessConn
	s.wire.mu.Unlock()
}

func (s *stack) stopServer() {
	s.wire.mu.Lock()
	s.wire.dial = nil
	s.wire.mu.Unlock()
	s.server.Shutdown()
}

// connect opens a connection that is closed at the end of the scenario. Each connection creates its
// own consumers, so the order in which components start does not matter.
func (s *stack) connect() *natsbus.Bus {
	s.t.Helper()
	config := s.config
	config.Provision = natsbus.ProvisionCreate
	config.Options = append([]nats.Option{nats.InProcessServer(&s.wire), nats.PingInterval(10 * time.Minute)}, config.Options...)
	bus, err := natsbus.Connect(s.t.Context(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.others = append(s.others, func() { _ = bus.Close() })
	return bus
}

// startCoordinator opens the store and runs a coordinator on it, with its own bus connection.
func (s *stack) startCoordinator(config coordinator.Config, definitions ...*saga.Definition) {
	s.t.Helper()
	kept, err := boltstore.Open(filepath.Join(s.dir, "amends.db"), boltstore.Options{MinFree: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	if s.coordBus == nil {
		s.coordBus = s.connect()
	}
	config.Store, config.Bus, config.Definitions = kept, s.coordBus, definitions
	config.Secret = []byte("secret")
	config.Logger = slog.New(slog.DiscardHandler)
	c, err := coordinator.New(config)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	s.store, s.coord = kept, c
	s.stopRun = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-done, kept.Close())
	})
	synctest.Wait()
	if err := c.Ready(s.t.Context()); err != nil {
		s.t.Fatalf("not ready: %v", err)
	}
}

// stopCoordinator stops the coordinator gracefully and closes its store.
func (s *stack) stopCoordinator() {
	if s.stopRun == nil {
		return
	}
	if err := s.stopRun(); err != nil {
		s.t.Errorf("the coordinator ended with %v", err)
	}
	s.stopRun = nil
}

// serve runs a participant until the scenario ends.
func (s *stack) serve(p interface {
	Run(ctx context.Context, bus transport.Bus) error
}) (stop func()) {
	s.t.Helper()
	return s.serveOn(s.connect(), p)
}

// serveOn is serve with a bus that the test provides.
func (s *stack) serveOn(bus transport.Bus, p interface {
	Run(ctx context.Context, bus transport.Bus) error
}) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, bus) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("participant: %v", err)
		}
	})
	s.others = append(s.others, stop)
	synctest.Wait()
	return stop
}

// start starts a saga.
func (s *stack) start(def *saga.Definition, id contract.SagaID) *api.Saga {
	s.t.Helper()
	status, err := s.client.Start(s.t.Context(), def, transfer{700}, client.ID(id))
	if err != nil {
		s.t.Fatalf("start %s: %v", id, err)
	}
	return status
}

// get returns the status of a saga.
func (s *stack) get(id contract.SagaID) *api.Saga {
	s.t.Helper()
	status, err := s.client.Get(s.t.Context(), id)
	if err != nil {
		s.t.Fatalf("get %s: %v", id, err)
	}
	return status
}

// sleepUntil sleeps until the stack has the given age and is at rest.
func (s *stack) sleepUntil(age time.Duration) {
	time.Sleep(age - s.age())
	synctest.Wait()
}

// want checks the phase of a saga, and when the saga reached it.
func (s *stack) want(id contract.SagaID, phase contract.Phase, at, late time.Duration) {
	s.t.Helper()
	status := s.get(id)
	if status.Phase != phase {
		s.t.Errorf("at %s saga %s is %s (%s), want %s", s.age(), id, status.Phase, status.Reason, phase)
		return
	}
	if got := status.Updated.Sub(s.born); got < at || got > at+late {
		s.t.Errorf("saga %s became %s at %s, want %s and at most %s later", id, phase, got, at, late)
	}
}

// quiet is the configuration for scenarios of several days. Heartbeats and stream checks, most of
// what an idle stack does, are as rare as permitted.
var quiet = natsbus.Config{Heartbeat: 2500 * time.Millisecond, CheckInterval: time.Hour}
