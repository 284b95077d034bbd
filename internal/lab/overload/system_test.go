//go:build linux && lab

package overload

import (
	"context"
	"log/slog"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/saga/machine"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// system is a complete system in this process. Each component can be stopped and started.
type system struct {
	t        *testing.T
	dir      string
	port     int // port of the NATS server; 0 before its first start
	server   *embedded.Server
	coord    *core
	delay    atomic.Int64 // delay of every commit, in nanoseconds
	tune     func(*coordinator.Config)
	services map[string]*service
	running  map[string]*part
	malform  atomic.Int64 // messages that a bus could not decode
	dead     deadLetters

	calls  *natsbus.Bus
	client *client.Client // sends all its requests at once, so that the coordinator has to bound them
}

// crowd exceeds the number of sagas that any test starts at once.
const crowd = 1 << 16

// core is a running coordinator with its store and its bus.
type core struct {
	*part
	store *boltstore.Store
	bus   *natsbus.Bus
	run   *coordinator.Coordinator
}

// part is a component that runs until it is stopped.
type part struct {
	cancel context.CancelFunc
	ended  chan error
	bus    *natsbus.Bus
}

func run(bus *natsbus.Bus, f func(context.Context) error) *part {
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{cancel: cancel, ended: make(chan error, 1), bus: bus}
	go func() { p.ended <- f(ctx) }()
	return p
}

// stop shuts a component down gracefully and closes its bus.
func (p *part) stop(t *testing.T, what string) {
	t.Helper()
	p.cancel()
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("%s ended with %v", what, err)
		}
	case <-time.After(limit):
		t.Fatalf("%s did not come to rest within %s", what, limit)
	}
	if err := p.bus.Close(); err != nil {
		t.Logf("%s: %v", what, err)
	}
}

// newSystem starts all components. They are stopped when the test ends.
func newSystem(t *testing.T, h handling, tune func(*coordinator.Config)) *system {
	t.Helper()
	h.release = make(chan struct{})
	s := &system{t: t, dir: t.TempDir(), port: -1, tune: tune, services: services(h), running: map[string]*part{}}
	s.startServer()
	t.Cleanup(func() { s.server.Shutdown() })
	s.startCoordinator()
	t.Cleanup(func() { s.stopCoordinator() })
	t.Cleanup(func() { close(h.release) })
	for name := range s.services {
		s.startService(name)
		t.Cleanup(func() {
			if s.running[name] != nil {
				s.stopService(name)
			}
		})
	}
	s.calls = s.connect("callers", natsbus.ProvisionAsk)
	t.Cleanup(func() { _ = s.calls.Close() })
	s.client = s.newClient()
	return s
}

func (s *system) newClient(options ...client.Option) *client.Client {
	usual := []client.Option{client.RequestTimeout(time.Second), client.PollInterval(2 * time.Second), client.Concurrency(crowd)}
	return client.New(s.calls, append(usual, options...)...)
}

func (s *system) startServer() {
	s.t.Helper()
	server, err := embedded.Start(embedded.Config{StoreDir: filepath.Join(s.dir, "nats"), Port: s.port})
	if err != nil {
		s.t.Fatal(err)
	}
	s.server = server
	u, err := url.Parse(server.ClientURL())
	if err != nil {
		s.t.Fatal(err)
	}
	if s.port, err = strconv.Atoi(u.Port()); err != nil {
		s.t.Fatal(err)
	}
}

// restartServer restarts the NATS server.
func (s *system) restartServer() {
	s.t.Helper()
	s.server.Shutdown()
	s.startServer()
}

// connect opens a connection over loopback, as a separate service would.
func (s *system) connect(name string, provision natsbus.Provisioning) *natsbus.Bus {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	bus, err := natsbus.Connect(ctx, natsbus.Config{
		URL: s.server.ClientURL(), Name: name, Provision: provision,
		// The limits are small, so that messages the bus keeps on purpose do not look like growth.
		LifecycleBytes: 1 << 20, DeadBytes: 64 << 20, Duplicates: 5 * time.Second,
		OnMalformed: func(transport.Stream, string) { s.malform.Add(1) },
		Options:     []nats.Option{nats.ReconnectWait(50 * time.Millisecond)},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return bus
}

func (s *system) startCoordinator() {
	s.t.Helper()
	db, err := boltstore.Open(filepath.Join(s.dir, "sagas.db"), boltstore.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	bus := s.connect("coordinator", natsbus.ProvisionCreate)
	config := coordinator.Config{
		Store: &slowStore{Store: db, delay: &s.delay}, Bus: bus, CacheSize: 1024, Secret: []byte("the same after every restart"),
		Definitions: []*saga.Definition{deliver, vanish, venture},
		Logger:      slog.New(slog.DiscardHandler), Observer: &s.dead,
	}
	if s.tune != nil {
		s.tune(&config)
	}
	c, err := coordinator.New(config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.coord = &core{part: run(bus, c.Run), store: db, bus: bus, run: c}
	<-c.Started()
}

func (s *system) stopCoordinator() {
	s.t.Helper()
	s.coord.stop(s.t, "the coordinator")
	if err := s.coord.store.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *system) startService(name string) {
	one, bus := s.services[name], s.connect(name, natsbus.ProvisionAsk)
	p := one.make(one)
	s.running[name] = run(bus, func(ctx context.Context) error { return p.Run(ctx, bus) })
}

func (s *system) stopService(name string) {
	s.t.Helper()
	s.running[name].stop(s.t, name)
	s.running[name] = nil
}

// counts returns the numbers of open and ended sagas in the store.
func (s *system) counts() (open, ended int) {
	counts, err := s.coord.store.Counts(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range counts {
		open, ended = open+c.Sagas-c.Ended, ended+c.Ended
	}
	return open, ended
}

func (s *system) open() int {
	open, _ := s.counts()
	return open
}

func (s *system) finished() int {
	_, ended := s.counts()
	return ended
}

// drain waits until every saga has ended.
func (s *system) drain() {
	s.t.Helper()
	eventually(s.t, "every accepted saga ends (I2)", func() bool { return s.open() == 0 })
}

// slowStore delays every commit.
type slowStore struct {
	store.Store
	delay *atomic.Int64
}

func (s *slowStore) Commit(ctx context.Context, changes []store.Change) ([]error, error) {
	if d := time.Duration(s.delay.Load()); d > 0 {
		pause(ctx, d)
	}
	return s.Store.Commit(ctx, changes)
}

// deadLetters counts the messages that the coordinator dead-lettered and those it ignored.
type deadLetters struct{ letters, ignored atomic.Int64 }

func (d *deadLetters) Transition(coordinator.Transition) {}
func (d *deadLetters) Ignored(machine.Ignored)           { d.ignored.Add(1) }
func (d *deadLetters) DeadLetter(string)                 { d.letters.Add(1) }
func (d *deadLetters) Committed(int, time.Duration)      {}
func (d *deadLetters) Published(int, int)                {}
func (d *deadLetters) AnnouncementsDropped(int)          {}
func (d *deadLetters) ClockSet(time.Duration)            {}
func (d *deadLetters) TimersOvertook()                   {}
func (d *deadLetters) StartRefused(string, time.Time)    {}
func (d *deadLetters) TraceDropped()                     {}
