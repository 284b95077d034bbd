package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/amends-dev/amends/coordinator"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/loglimit"
	"github.com/amends-dev/amends/internal/masked"
	"github.com/amends-dev/amends/internal/otlp"
	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/observe"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// StoreFile is the name of the store within the data directory.
const StoreFile = "sagas.db"

// stopLimit bounds how long each part may take to close once the coordinator has
// come to rest.
const stopLimit = 10 * time.Second

// flushSpans bounds how long the end waits for the collector of spans.
const flushSpans = 2 * time.Second

// slowStart is how long a start may take before it is said what it waits for.
const slowStart = time.Second

// Addresses say where the parts of a running daemon are reached.
type Addresses struct {
	// NATS is the URL that services connect to.
	NATS string
	// HTTP is the base URL of the API, health and metrics; "" if there is none.
	HTTP string
	// Connect opens one more connection to the same server and streams, without
	// the network if the server is embedded. The caller closes it.
	Connect func(ctx context.Context, name string) (*natsbus.Bus, error)
}

// daemon is the parts of one run.
type daemon struct {
	Config
	metrics *observe.Metrics
	traces  *otlp.Exporter   // nil: nobody traces
	server  *embedded.Server // nil: external
	bus     *natsbus.Bus
	store   *boltstore.Store
	files   *files
	owner   *ownership.Keeper
	coord   atomic.Pointer[coordinator.Coordinator] // nil: starting
	stops   atomic.Bool
	listen  net.Listener // nil: no HTTP
	failed  chan error   // of the HTTP server
	closers []closer
}

// closer is a part that has to be closed.
type closer struct {
	what  string
	close func() error
}

// Run starts everything, calls ready once the coordinator takes work (ready may
// be nil), and runs until ctx ends or a part fails. It returns when all is
// still: nothing runs any more and every file is closed. Nil: it was stopped.
// ErrDisk, or store.ErrBroken: the disk of the data directory wants looking at.
func Run(ctx context.Context, c Config, ready func(Addresses)) (err error) {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	c = c.withDefaults()
	f, err := c.read()
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	d := &daemon{Config: c, files: f, failed: make(chan error, 1)}
	d.metrics = observe.NewMetrics(d.Version)
	defer func() { err = errors.Join(err, d.close()) }()
	for _, part := range []struct {
		what  string
		start func(context.Context) error
	}{
		{"send spans", d.startTraces},
		{"serve the API, health and metrics", d.startHTTP},
		{"open the store", d.openStore},
		{"start the embedded NATS server", d.startServer},
		{"connect to NATS", d.connectBus},
		{"make the coordinator", d.makeCoordinator},
	} {
		if err := part.start(ctx); err != nil {
			if ctx.Err() != nil {
				return nil // stopped while it started
			}
			return fmt.Errorf("%s: %w", part.what, d.ofDisk(err))
		}
	}
	return d.ofDisk(d.run(ctx, ready))
}

// run runs the coordinator until ctx ends or something fails.
func (d *daemon) run(ctx context.Context, ready func(Addresses)) error {
	g, running := errgroup.WithContext(ctx)
	rested := make(chan struct{})
	g.Go(func() error {
		defer close(rested)
		if err := d.coord.Load().Run(running); err != nil {
			return fmt.Errorf("run the coordinator: %w", err)
		}
		return running.Err() // it ends because somebody asked: the others end as well
	})
	g.Go(func() error {
		select {
		case err := <-d.failed:
			return fmt.Errorf("serve the API, health and metrics: %w", err)
		case <-rested:
			return nil
		}
	})
	g.Go(func() error { return d.announce(running, ready) })
	g.Go(func() error {
		<-running.Done()
		d.stops.Store(true) // not ready any more, before anything else ends
		if ctx.Err() != nil {
			d.Logger.Info("stopping: what is in flight is committed first")
		}
		return nil
	})
	err := g.Wait()
	var replaced *ownership.OwnedError
	if errors.As(err, &replaced) && replaced.Replaced {
		d.listMoved(replaced.Since, d.owner.MovedSince())
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// announce waits until the coordinator takes work and says so.
func (d *daemon) announce(ctx context.Context, ready func(Addresses)) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	line, slow := waiting.On(d.Logger, "the coordinator to be ready", 0), time.Now().Add(slowStart)
	for {
		err := d.coord.Load().Ready(ctx)
		if err == nil {
			break
		}
		if time.Now().After(slow) {
			line.Still(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	a := d.addresses()
	d.Logger.Info("ready", slog.String("nats", masked.URLs(a.NATS)), slog.String("http", a.HTTP), slog.String("data_dir", d.DataDir), slog.String("version", d.Version))
	if ready != nil {
		ready(a)
	}
	return nil
}

func (d *daemon) addresses() Addresses {
	a := Addresses{NATS: d.NATS.URL, Connect: d.connect}
	if d.server != nil {
		a.NATS = d.server.ClientURL()
	}
	if d.listen != nil {
		a.HTTP = d.scheme() + d.listen.Addr().String()
	}
	return a
}

// close closes what was opened, in reverse order.
func (d *daemon) close() error {
	d.stops.Store(true)
	var errs []error
	for _, part := range slices.Backward(d.closers) {
		if err := part.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", part.what, err))
		}
	}
	return errors.Join(errs...)
}

func (d *daemon) closing(what string, f func() error) {
	d.closers = append(d.closers, closer{what, f})
}

// startTraces is the first part, so that it ends last and sends what the others
// have left.
func (d *daemon) startTraces(ctx context.Context) error {
	if d.Traces == nil {
		return nil
	}
	config := *d.Traces
	config.Logger, config.Version = d.Logger, d.Version
	traces, err := otlp.Start(ctx, config)
	if err != nil {
		return err
	}
	d.traces = traces
	d.metrics.Spans(func() (exported, dropped, failed uint64) {
		s := traces.Stats()
		return s.Exported, s.Dropped, s.Failed
	})
	d.closers = append(d.closers, closer{"the exporter of spans", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), flushSpans)
		defer cancel()
		if err := traces.Shutdown(ctx); err != nil {
			d.Logger.Warn("the last spans were not sent", slog.Any("error", err))
		}
		return nil
	}})
	return nil
}

// tracer is the coordinator's; nil: nobody traces.
func (d *daemon) tracer() coordinator.Tracer {
	if d.traces == nil {
		return nil
	}
	return observe.NewTracer(d.traces.TracerProvider())
}

func (d *daemon) openStore(context.Context) error {
	if err := os.MkdirAll(d.DataDir, 0o700); err != nil {
		return err
	}
	if err := hasRoom(d.DataDir); err != nil {
		return err
	}
	s, err := boltstore.Open(filepath.Join(d.DataDir, StoreFile), boltstore.Options{Keys: d.files.keys, OnCorrupt: func(err error) {
		d.Logger.Error("a damaged record was passed over; docs/RUNBOOK.md#amendsstoredamaged says what to do", slog.Any("error", err))
	}})
	if err != nil {
		return err
	}
	crashpoint.Here("daemon: store opened")
	d.store = s
	d.metrics.Store(func() int { return s.Stats().DamagedNow })
	d.closing("the store", s.Close)
	return nil
}

func (d *daemon) startServer(ctx context.Context) error {
	if d.NATS.URL != "" {
		return nil
	}
	host, port, err := splitListen(d.NATS.Listen)
	if err != nil {
		return err
	}
	if port == 0 {
		port = -1 // a free one
	} else if err := probe(ctx, "nats-listen", d.NATS.Listen); err != nil {
		return err
	}
	streamKeys, err := d.streamKeys()
	if err != nil {
		return err
	}
	rights, err := responderRights(d.Prefix)
	if err != nil {
		return err
	}
	var secure *tls.Config
	if d.files.listen != nil {
		secure = d.files.listen.Config()
	}
	s, err := embedded.Start(embedded.Config{
		Keys:     streamKeys,
		StoreDir: filepath.Join(d.DataDir, "nats"), Host: host, Port: port, Logger: serverLog{d.Logger, loglimit.NewLimiter()},
		UsersFile: d.NATS.Users, Account: natsbus.Account, Responder: rights, TLS: secure,
	})
	if err != nil {
		return err
	}
	d.server = s
	d.closing("the embedded NATS server", func() error { s.Shutdown(); return nil })
	if !loopback(host) && d.NATS.Open {
		d.Logger.Warn("the embedded NATS server listens beyond this machine and asks nobody for a password, or has it sent in the clear; let only trusted networks reach it",
			slog.String("listen", d.NATS.Listen))
	}
	return nil
}

func (d *daemon) connectBus(ctx context.Context) error {
	c, err := d.busConfig("amends-coordinator")
	if err != nil {
		return err
	}
	switch {
	case d.server == nil:
		c.Responder, err = d.NATS.Responder.Options()
	case d.NATS.Users != "":
		c.Responder = []nats.Option{d.server.Responder()}
	}
	if err != nil {
		return err
	}
	bus, err := natsbus.Connect(ctx, c)
	if err != nil {
		return err
	}
	crashpoint.Here("daemon: bus connected")
	d.bus = bus
	d.closing("the bus", bus.Close)
	return nil
}

func (d *daemon) makeCoordinator(context.Context) error {
	secret, err := loadSecret(d.DataDir)
	if err != nil {
		return fmt.Errorf("read the secret: %w", err)
	}
	claims := d.bus.Claims()
	d.owner = d.keeper(claims)
	c, err := coordinator.New(coordinator.Config{
		Owner: d.owner, Moved: claims.Moved(),
		Store: d.store, Bus: d.bus, Subjects: transport.Subjects{Prefix: d.Prefix},
		Name: d.Name, Shards: d.Shards, MaxBatch: d.MaxBatch, MaxOpen: d.MaxOpen,
		MaxBacklog: d.MaxBacklog, MaxUnanswered: d.MaxUnanswered, MaxUnansweredBytes: d.MaxUnansweredBytes, MaxWatches: d.MaxStreams,
		Retention: d.Retention, TombstoneRetention: d.TombstoneRetention,
		Running: bootTime, Boot: bootID(), AcceptClock: d.AcceptClock,
		Secret: secret, Definitions: d.Definitions,
		Version: d.Version, NATS: masked.URLs(d.addresses().NATS), Logger: d.Logger, HideReasons: len(d.Redact) > 0, Observer: d.metrics, Tracer: d.tracer(),
	})
	if err != nil {
		return err
	}
	crashpoint.Here("daemon: coordinator made")
	d.coord.Store(c)
	d.metrics.Watch(c.Stats, d.isReady)
	d.metrics.WatchBus(d.bus)
	return nil
}
