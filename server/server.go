package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/internal/crashpoint"
	"github.com/amends-dev/amends/internal/masked"
	"github.com/amends-dev/amends/internal/observe"
	"github.com/amends-dev/amends/internal/otlp"
	"github.com/amends-dev/amends/internal/waiting"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/store"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// StoreFile is the name of the store file in the data directory.
const StoreFile = "sagas.db"

// stopLimit is the timeout for closing each part after the coordinator has stopped, and for
// stopping after a start that was given up.
const stopLimit = 10 * time.Second

// flushSpans is the timeout for sending the last spans to the collector.
const flushSpans = 2 * time.Second

// slowStart is how long a start may take before the server logs what it waits for.
const slowStart = time.Second

// Addresses are the addresses of the parts of a running Server.
type Addresses struct {
	// NATS is the URL for services to connect to.
	NATS string
	// HTTP is the base URL of the API, health and metrics; "" if there is none.
	HTTP string
}

// Server is one coordinator with its store, its bus and its endpoints. Start creates a Server and
// runs it in the background until Stop. New and Run do the same in the foreground.
type Server struct {
	config  Config
	metrics *observe.Metrics
	traces  *otlp.Exporter   // nil means no tracing
	server  *embedded.Server // nil means external
	bus     *natsbus.Bus
	used    coordinator.Bus // the bus with the wrappers for the coordinator
	store   store.Store
	status  func() *api.StoreStatus // nil if the store is Config.Store
	files   *files
	owner   *ownership.Keeper
	coord   atomic.Pointer[coordinator.Coordinator] // nil until it is started
	stops   atomic.Bool
	listen  net.Listener // nil without HTTP
	failed  chan error   // of the HTTP server
	closers []closer
	ran     atomic.Bool
	started chan struct{}

	stopping context.Context // ends when Stop is called
	stop     context.CancelFunc
	stopped  chan struct{} // closed when Run has returned
	err      error         // result of Run; read only after stopped is closed
}

// closer is a part that must be closed.
type closer struct {
	what  string
	close func() error
}

// ErrRan means that the Server was run before. A Server can run only once.
var ErrRan = errors.New("the server has already been run; create a new one")

// New returns a Server. It does no I/O. Its error lists all errors in the configuration (see
// Config.Validate).
func New(c Config) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c = c.withDefaults()
	s := &Server{config: c, failed: make(chan error, 1), started: make(chan struct{}), stopped: make(chan struct{}), metrics: observe.NewMetrics(c.Version)}
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Start creates a Server, runs it, and returns once it accepts work (see Started). ctx limits only
// the start: the Server runs until Stop, or until a part fails (see Stopped). If Start returns an
// error, nothing is running, with one exception: if ctx has ended and a part does not stop within
// 10 s, for example because a disk does not answer, the error says so, and the Server stops as soon
// as that part does.
func Start(ctx context.Context, c Config) (*Server, error) {
	s, err := New(c)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx, stopLimit); err != nil {
		return nil, err
	}
	return s, nil
}

// start runs the server in the background until it accepts work. If ctx ends first, it stops the
// server, and waits for that no longer than limit.
func (s *Server) start(ctx context.Context, limit time.Duration) error {
	go func() { _ = s.Run(context.WithoutCancel(ctx)) }()
	select {
	case <-s.started:
		return nil
	case <-s.stopped:
		return s.err
	case <-ctx.Done():
		stopping, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), limit, errStillStopping)
		defer cancel()
		return errors.Join(fmt.Errorf("start the server: %w", context.Cause(ctx)), s.Stop(stopping))
	}
}

// errStillStopping means that a start was given up, and a part of the server is still running.
var errStillStopping = errors.New("a part has not stopped in time and still uses the data directory; check the disk and the store, or end the process")

// Run calls New and Server.Run, for programs that do not need the Server.
func Run(ctx context.Context, c Config) error {
	s, err := New(c)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// Run starts all parts, and runs until ctx ends, Stop is called, or a part fails. When it returns,
// nothing is running and every file is closed. It returns nil if ctx or Stop ended the run. It
// returns ErrDisk or store.ErrBroken if the disk of the data directory needs attention, and ErrRan
// if the Server was run or stopped before.
func (s *Server) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return ErrRan
	}
	defer close(s.stopped)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	s.err = s.startAndRun(ctx)
	return s.err
}

// Stop ends Run, waits for it, and returns its result. If ctx ends first, Stop returns the cause of
// ctx; the Server still stops, and Stopped tells when it has. So do not pass the context whose end
// is the reason to stop. If Run was not called before, it can no longer be called. Stop may be called
// again: it waits again, and returns the result of Run.
func (s *Server) Stop(ctx context.Context) error {
	s.stop()
	if !s.ran.Swap(true) {
		close(s.stopped)
	}
	select {
	case <-s.stopped:
		return s.err
	default: // the result comes first, even if ctx has ended
	}
	select {
	case <-s.stopped:
		return s.err
	case <-ctx.Done():
		return fmt.Errorf("stop the server: %w", context.Cause(ctx))
	}
}

// Stopped returns a channel that is closed once Run has returned, because of Stop or because a part
// failed. Stop then returns the result of Run at once.
func (s *Server) Stopped() <-chan struct{} { return s.stopped }

// startAndRun starts the parts in order, runs the coordinator, and closes all started parts.
func (s *Server) startAndRun(ctx context.Context) (err error) {
	if s.files, err = s.config.read(); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, part := range []struct {
		what  string
		start func(context.Context) error
	}{
		{"send spans", s.startTraces},
		{"serve the API, health and metrics", s.startHTTP},
		{"open the store", s.openStore},
		{"start the embedded NATS server", s.startServer},
		{"connect to NATS", s.connectBus},
		{"listen for services", s.listenNATS},
		{"make the coordinator", s.makeCoordinator},
	} {
		if err := part.start(ctx); err != nil {
			if ctx.Err() != nil {
				return nil // stopped while starting
			}
			return fmt.Errorf("%s: %w", part.what, s.ofDisk(err))
		}
	}
	return s.ofDisk(s.run(ctx))
}

// Started returns a channel that is closed once the coordinator first accepts work. The coordinator
// may later become unready; see Health.
func (s *Server) Started() <-chan struct{} { return s.started }

// Health is the state of a Server: whether it accepts work, and what is stalled.
type Health struct {
	NotReady    error // why it accepts no work now; nil if it accepts work
	Standstills []api.Standstill
}

// Health returns the latest known state without waiting.
func (s *Server) Health() Health {
	h := Health{NotReady: s.isReady(context.Background())}
	if c := s.coord.Load(); c != nil {
		h.Standstills = c.Standstills()
	}
	return h
}

// Client returns a client that calls the coordinator in this process without the bus. Requests
// before Started, and while the Server stops, are retried until a coordinator answers.
func (s *Server) Client(options ...client.Option) *client.Client {
	return client.New(handler{s}, append([]client.Option{client.Prefix(s.config.Prefix), client.Logger(s.config.Logger)}, options...)...)
}

// ofDisk wraps err in ErrDisk if a disk caused it. That includes errors of the embedded server's
// streams, which are on the same disk.
func (s *Server) ofDisk(err error) error {
	if FullDisk(err) || FailedDisk(err) || s.server != nil && ofJetStream(err) {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return err
}

// run runs the coordinator until ctx ends or a part fails.
func (s *Server) run(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	rested := make(chan struct{})
	g.Go(func() error {
		defer close(rested)
		if err := s.coord.Load().Run(running); err != nil {
			return fmt.Errorf("run the coordinator: %w", err)
		}
		return running.Err() // the coordinator was stopped, so stop the other parts as well
	})
	g.Go(func() error {
		select {
		case err := <-s.failed:
			return fmt.Errorf("serve the API, health and metrics: %w", err)
		case <-rested:
			return nil
		}
	})
	g.Go(func() error { return s.announce(running) })
	g.Go(func() error {
		<-running.Done()
		s.stops.Store(true) // report not ready before anything else stops
		if ctx.Err() != nil {
			s.config.Logger.Info("stopping; work in flight is committed first")
		}
		return nil
	})
	err := g.Wait()
	var replaced *ownership.NotOwnerError
	if errors.As(err, &replaced) && replaced.Replaced {
		s.listMoved(replaced.Since, s.owner.UnconfirmedChanges())
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// announce waits until the coordinator accepts work, and then logs that.
func (s *Server) announce(ctx context.Context) error {
	coord := s.coord.Load()
	line := waiting.On(s.config.Logger, "the coordinator to be ready", 0)
	for slow := slowStart; ; slow = waiting.Every {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(slow):
			line.Still(coord.Ready(ctx))
			continue
		case <-coord.Started():
		}
		break
	}
	a := s.Addresses()
	s.config.Logger.Info("ready", slog.String("nats", masked.URLs(a.NATS)), slog.String("http", a.HTTP), slog.String("bus_storage", string(s.config.NATS.Storage)), slog.String("data_dir", s.config.DataDir), slog.String("version", s.config.Version))
	close(s.started)
	return nil
}

// Addresses returns the addresses of the parts. Wait for Started first.
func (s *Server) Addresses() Addresses {
	a := Addresses{NATS: s.config.NATS.URL}
	if s.server != nil {
		a.NATS = s.server.ClientURL()
	}
	if s.listen != nil {
		a.HTTP = s.scheme() + s.listen.Addr().String()
	}
	return a
}

// close closes the opened parts in reverse order.
func (s *Server) close() error {
	s.stops.Store(true)
	var errs []error
	for _, part := range slices.Backward(s.closers) {
		if err := part.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", part.what, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Server) closing(what string, f func() error) {
	s.closers = append(s.closers, closer{what, f})
}

// startTraces starts tracing. Tracing starts first and stops last, so that it sends the spans of
// all other parts.
func (s *Server) startTraces(ctx context.Context) error {
	if s.config.Traces == nil {
		return nil
	}
	c := s.config.Traces
	traces, err := otlp.Start(ctx, otlp.Config{Endpoint: c.Endpoint, Service: c.Service, Queue: c.Queue, Version: s.config.Version, Logger: s.config.Logger})
	if err != nil {
		return err
	}
	s.traces = traces
	s.metrics.Spans(func() (exported, dropped, failed uint64) {
		stats := traces.Stats()
		return stats.Exported, stats.Dropped, stats.Failed
	})
	s.closers = append(s.closers, closer{"the exporter of spans", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), flushSpans)
		defer cancel()
		if err := traces.Shutdown(ctx); err != nil {
			s.config.Logger.Warn("the last spans were not sent", slog.Any("error", err))
		}
		return nil
	}})
	return nil
}

// tracer returns the coordinator's tracer, or nil if tracing is off.
func (s *Server) tracer() coordinator.Tracer {
	if s.traces == nil {
		return nil
	}
	return observe.NewTracer(s.traces.TracerProvider())
}

// openStore creates the data directory and opens the store in it, unless Config has a store.
func (s *Server) openStore(context.Context) error {
	if s.config.DataDir != "" {
		if err := os.MkdirAll(s.config.DataDir, 0o700); err != nil {
			return err
		}
		if s.config.NATS.URL == "" {
			if err := hasRoom(s.config.DataDir); err != nil {
				return err
			}
		}
	}
	if s.config.Store != nil {
		s.store = crashpoint.Wrap(s.config.Store)
		return nil
	}
	opened, err := boltstore.Open(filepath.Join(s.config.DataDir, StoreFile), boltstore.Options{Keys: s.files.keys, OnCorrupt: func(err error) {
		s.config.Logger.Error("a damaged record was skipped; see docs/RUNBOOK.md#amendsstoredamaged", slog.Any("error", err))
	}})
	if err != nil {
		return err
	}
	if torn := opened.Stats().Log.Torn; torn > 0 {
		s.config.Logger.Warn("an incomplete record at the end of the log was discarded; it was never acknowledged; see docs/RUNBOOK.md#amendslogtorn",
			slog.Int64("bytes", torn))
	}
	s.store = crashpoint.Wrap[store.Store](opened)
	s.metrics.Store(opened.Stats)
	s.status = func() *api.StoreStatus { return storeStatus(opened.Stats()) }
	s.closing("the store", s.store.Close)
	return nil
}

// storeStatus describes the store's files for the overview.
func storeStatus(stats boltstore.Stats) *api.StoreStatus {
	return &api.StoreStatus{
		StateBytes: int(stats.StateBytes), LogBytes: int(stats.Log.Size), BehindBytes: int(stats.BehindBytes),
		LastCheckpoint: stats.LastCheckpoint, Waiting: string(stats.Waiting), WaitingSince: stats.WaitingSince,
	}
}

func (s *Server) makeCoordinator(context.Context) error {
	secret, err := loadSecret(s.config.DataDir)
	if err != nil {
		return fmt.Errorf("read the secret: %w", err)
	}
	claims := s.bus.Claims()
	s.owner = s.keeper(claims)
	c, err := coordinator.New(coordinator.Config{
		Owner: s.owner, Moved: claims.ConfirmNow(),
		AnswersLost: s.bus.BeganEmpty(),
		Store:       s.store, Bus: s.used, Subjects: transport.Subjects{Prefix: s.config.Prefix},
		Name: s.config.Name, Shards: s.config.Shards, MaxBatch: s.config.MaxBatch, MaxWaiting: s.config.MaxWaiting, MaxOpen: s.config.MaxOpen,
		MaxBacklog: s.config.MaxBacklog, MaxUnanswered: s.config.MaxUnanswered, MaxUnansweredBytes: s.config.MaxUnansweredBytes, MaxWatches: s.config.MaxStreams,
		Retention: s.config.Retention, TombstoneRetention: s.config.TombstoneRetention,
		Running: bootTime, Boot: bootID(), AcceptClock: s.config.AcceptClock,
		StoreStatus: s.status,
		Secret:      secret, Definitions: s.config.Definitions,
		Version: s.config.Version, NATS: masked.URLs(s.Addresses().NATS), Logger: s.config.Logger, HideReasons: len(s.config.Redact) > 0, Observer: s.metrics, Tracer: s.tracer(),
	})
	if err != nil {
		return err
	}
	s.coord.Store(c)
	s.metrics.Watch(c.Stats, s.isReady)
	s.metrics.WatchBus(s.bus)
	return nil
}
