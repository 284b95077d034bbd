package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/amends-dev/amends/api"
	"github.com/amends-dev/amends/client"
	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/coordinator"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/ownership"
	"github.com/amends-dev/amends/saga"
	"github.com/amends-dev/amends/store/boltstore"
	"github.com/amends-dev/amends/store/log"
	"github.com/amends-dev/amends/transport"
	"github.com/amends-dev/amends/transport/natsbus"
	"github.com/amends-dev/amends/transport/natsbus/embedded"
)

// Mix is the kind of sagas in a run.
type Mix string

// The mixes.
const (
	// AllWell completes every saga.
	AllWell Mix = "all-well"
	// Compensating rejects the third step, so that the first two are undone.
	Compensating Mix = "compensating"
)

// Callers selects how callers start sagas and learn about their ends.
type Callers string

// The kinds of callers. For all of them, a start is acknowledged after its commit.
const (
	// CallersRun send one request, which is answered when the saga has ended.
	CallersRun Callers = "run"
	// CallersWait means that each caller sends one request that starts the saga and is answered at
	// once, and a second one that is answered when the saga has ended.
	CallersWait Callers = "wait"
	// CallersListen send a request that starts the saga, and wait for the announcement of its end.
	CallersListen Callers = "listen"
)

// Options configure a run.
type Options struct {
	Mix      Mix
	InFlight int           // sagas in progress at the same time
	For      time.Duration // how long sagas are counted, after a warm-up of a fifth of that
	Dir      string        // directory for the files, which the caller removes
	// InProcess makes all connections in-process, without TCP.
	InProcess bool
	// Accounts gives the coordinator, each participant and the callers their own accounts on the
	// server, over TCP, as docs/SECURITY-GUIDE.md recommends. The baselines use no accounts.
	Accounts bool
	// BusInMemory keeps commands and answers in memory (serve --bus-storage memory). The baselines
	// keep everything in files.
	BusInMemory bool
	Callers     Callers   // "" is CallersRun
	Upkeep      Upkeep    // "" is UpkeepUsual
	Progress    io.Writer // gets one line per second; may be nil
	Profile     io.Writer // gets a CPU profile of the measurement; may be nil
}

func (o *Options) carrier() string {
	switch {
	case o.InProcess:
		return "in-process"
	case o.Accounts:
		return "accounts"
	}
	return "tcp"
}

func (o *Options) busStorage() string {
	if o.BusInMemory {
		return "memory"
	}
	return "file"
}

// Figures are the results of a run.
type Figures struct {
	Mix               Mix     `json:"mix"`
	InFlight          int     `json:"in_flight"`
	Carrier           string  `json:"carrier"`     // tcp, in-process or accounts
	BusStorage        string  `json:"bus_storage"` // of commands and answers: file or memory
	Upkeep            Upkeep  `json:"upkeep"`
	Callers           Callers `json:"callers"`
	Sagas             int     `json:"sagas"`
	Seconds           float64 `json:"seconds"`
	SagasPerSecond    float64 `json:"sagas_per_second"`
	P50Ms             float64 `json:"p50_ms"`
	P99Ms             float64 `json:"p99_ms"`
	P999Ms            float64 `json:"p999_ms"`
	CPUSecondsPer1000 float64 `json:"cpu_seconds_per_1000"` // bus, coordinator, participants and callers
	CommitsPerSaga    float64 `json:"commits_per_saga"`
	FsyncsPerSaga     float64 `json:"fsyncs_per_saga"` // of the log, by commits
	// CheckpointFsyncsPerSaga counts the fsyncs of the state's file, which no commit waits for. A run
	// ends with a checkpoint, so these and the bytes include all that the sagas cost.
	CheckpointFsyncsPerSaga float64 `json:"checkpoint_fsyncs_per_saga"`
	BytesWrittenPerSaga     float64 `json:"bytes_written_per_saga"` // bytes that the store gave to write(2): log and checkpoints
	LogBytesPerSaga         float64 `json:"log_bytes_per_saga"`     // the part of it that is the log
	PageBytesPerSaga        float64 `json:"page_bytes_per_saga"`    // the same as BytesWrittenPerSaga, but in whole pages of 4 KiB, as the disk gets it
	AllocationsPerSaga      float64 `json:"allocations_per_saga"`
	TransitionsPerSaga      float64 `json:"transitions_per_saga"`
	AllocationsPerStep      float64 `json:"allocations_per_transition"`
	PeakRSSBytes            int64   `json:"peak_rss_bytes"`

	// The baselines, measured right afterwards in the same process: see Bare and HandWritten. The
	// ratios are SagasPerSecond divided by the rate of the baseline.
	BareBusPerSecond      float64 `json:"bare_bus_per_second"`
	BareBusCPUPer1000     float64 `json:"bare_bus_cpu_seconds_per_1000"`
	BusRatio              float64 `json:"bus_ratio"`
	HandWrittenPerSecond  float64 `json:"hand_written_per_second"`
	HandWrittenCPUPer1000 float64 `json:"hand_written_cpu_seconds_per_1000"`
	HandWrittenRatio      float64 `json:"hand_written_ratio"`

	// MessagesPerSaga is the number of commands, answers and announcements per saga of the mix,
	// whether bundled or not.
	MessagesPerSaga int `json:"messages_per_saga"`
	// FsyncMs is the time for a page write and its fsync on this disk, measured right afterwards.
	FsyncMs float64 `json:"fsync_ms"`
	// LatencyRatio, with one saga in flight, is P50Ms divided by the lower bound: a round on the
	// bare bus plus the saga's fsyncs. With more sagas in flight it is 0, because they wait for
	// each other.
	LatencyRatio float64 `json:"latency_ratio,omitempty"`
}

// Run measures one mix with a number of sagas in flight, then the bare bus and the hand-written
// saga with the same number in flight.
func Run(ctx context.Context, o Options) (figures Figures, err error) {
	o.Callers, o.Upkeep = cmp.Or(o.Callers, CallersRun), cmp.Or(o.Upkeep, UpkeepUsual)
	w, err := open(ctx, o)
	if err != nil {
		return Figures{}, err
	}
	figures, err = w.measure(ctx, o)
	if closeErr := w.close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return Figures{}, err
	}
	bus, err := Bare(ctx, o)
	if err != nil {
		return Figures{}, err
	}
	hand, err := HandWritten(ctx, o)
	if err != nil {
		return Figures{}, err
	}
	figures.BareBusPerSecond, figures.BareBusCPUPer1000 = bus.PerSecond, bus.CPUSecondsPer1000
	figures.BusRatio = figures.SagasPerSecond / bus.PerSecond
	figures.HandWrittenPerSecond, figures.HandWrittenCPUPer1000 = hand.PerSecond, hand.CPUSecondsPer1000
	figures.HandWrittenRatio = figures.SagasPerSecond / hand.PerSecond
	fsync, err := fsyncTime(o.Dir)
	if err != nil {
		return Figures{}, err
	}
	messages := scriptOf(o.Mix)
	figures.MessagesPerSaga = 2*len(messages.legs) + messages.announcements
	figures.FsyncMs = float64(fsync) / float64(time.Millisecond)
	if o.InFlight == 1 {
		figures.LatencyRatio = figures.P50Ms / (1000/bus.PerSecond + figures.FsyncsPerSaga*figures.FsyncMs)
	}
	return figures, nil
}

// world is the system under measurement.
type world struct {
	inside  bool
	users   bool // each component has its own account
	memory  bool // commands and answers are in memory
	store   *boltstore.Store
	caller  *client.Client
	ends    *ends // nil if callers request the end
	callers Callers
	closers []func() error
}

func open(ctx context.Context, o Options) (w *world, err error) {
	w = &world{inside: o.InProcess, users: o.Accounts, memory: o.BusInMemory, callers: o.Callers}
	defer func() {
		if err != nil {
			_ = w.close()
		}
	}()
	config := embedded.Config{StoreDir: filepath.Join(o.Dir, "nats"), Port: -1}
	if o.Accounts {
		if config.UsersFile, err = accounts(o); err != nil {
			return nil, err
		}
		config.Account = natsbus.Account
	}
	server, err := embedded.Start(config)
	if err != nil {
		return nil, err
	}
	w.closers = append(w.closers, func() error { server.Shutdown(); return nil })
	if w.store, err = boltstore.Open(filepath.Join(o.Dir, "sagas.db"), o.Upkeep.store()); err != nil {
		return nil, err
	}
	w.closers = append(w.closers, w.store.Close)
	quiet := slog.New(slog.DiscardHandler)
	bus, err := w.connect(ctx, server, "coordinator", natsbus.ProvisionCreate)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	owner := ownership.New(ownership.Config{
		Registry: bus.Claims(), Store: w.store, Me: ownership.Claim{Prefix: transport.DefaultPrefix, Incarnation: "bench"},
		Exclusive: true, Clock: func() time.Duration { return time.Since(began) }, Now: time.Now,
	})
	c, err := coordinator.New(coordinator.Config{
		Owner: owner, Store: w.store, Bus: bus, Definitions: []*saga.Definition{checkout}, Logger: quiet, Retention: o.Upkeep.retention(),
	})
	if err != nil {
		return nil, err
	}
	w.run(ctx, c.Run)
	if o.Upkeep == UpkeepAll {
		w.run(ctx, w.backups)
	}
	for _, p := range services(o.Mix, quiet) {
		bus, err := w.connect(ctx, server, p.Name(), natsbus.ProvisionAsk)
		if err != nil {
			return nil, err
		}
		w.run(ctx, func(ctx context.Context) error { return p.Run(ctx, bus) })
	}
	calls, err := w.connect(ctx, server, "callers", natsbus.ProvisionAsk)
	if err != nil {
		return nil, err
	}
	w.caller = client.New(calls, client.RetryWhenOverloaded())
	if o.Callers == CallersListen {
		return w, w.listen(server)
	}
	return w, nil
}

// accounts writes the server's users; each password equals the name.
func accounts(o Options) (file string, err error) {
	user := func(name string, role natsbus.Role) natsbus.User {
		return natsbus.User{Name: name, Role: role, Proof: []string{"user: " + name, "password: " + name}}
	}
	users := []natsbus.User{user("coordinator", natsbus.RoleCoordinator), user("requests", natsbus.RoleResponder), user("callers", natsbus.RoleCaller)}
	for _, p := range services(o.Mix, slog.New(slog.DiscardHandler)) {
		users = append(users, user(p.Name(), natsbus.RoleParticipant))
	}
	text, err := natsbus.Config{}.Accounts(users)
	if err != nil {
		return "", err
	}
	file = filepath.Join(o.Dir, "users.conf")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// connect opens a new connection, as a separate service would.
func (w *world) connect(ctx context.Context, server *embedded.Server, name string, provision natsbus.Provisioning) (*natsbus.Bus, error) {
	config := natsbus.Config{URL: server.ClientURL(), Name: name, Provision: provision, Options: carrierOptions(server, w.inside)}
	config.Memory = w.memory && provision == natsbus.ProvisionCreate
	if w.users {
		config.User, config.Password, config.InboxPrefix = name, name, natsbus.InboxPrefix(name)
		if provision == natsbus.ProvisionCreate {
			config.Responder = []nats.Option{nats.UserInfo("requests", "requests")}
		}
	}
	bus, err := natsbus.Connect(ctx, config)
	if err != nil {
		return nil, err
	}
	w.closers = append(w.closers, func() error { return bus.Close() })
	return bus, nil
}

// run runs a component until close.
func (w *world) run(ctx context.Context, part func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	w.closers = append(w.closers, func() error { cancel(); return <-done })
}

func (w *world) close() error {
	var first error
	for _, closer := range slices.Backward(w.closers) {
		if err := closer(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// call keeps o.InFlight sagas in flight until ctx ends, and calls end with the duration of each. The first
// error stops. It returns a function that waits for the callers.
func (w *world) call(ctx context.Context, stop context.CancelCauseFunc, o Options, end func(time.Duration)) (wait func()) {
	var started atomic.Int64
	var callers sync.WaitGroup
	for range o.InFlight {
		callers.Go(func() {
			for ctx.Err() == nil {
				n, began := started.Add(1), time.Now()
				err := w.one(ctx, n, o.Mix)
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					stop(err)
					return
				}
				end(time.Since(began))
			}
		})
	}
	return callers.Wait
}

// measure keeps o.InFlight sagas in flight, and counts those that end after the warm-up.
func (w *world) measure(ctx context.Context, o Options) (Figures, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var ended atomic.Int64
	var counting atomic.Bool
	var times recorder
	defer w.call(ctx, stop, o, func(took time.Duration) {
		ended.Add(1)
		if counting.Load() {
			times.add(took)
		}
	})()
	pass(ctx, o, &ended, o.For/5, "warming up")
	if err := w.store.Checkpoint(ctx); err != nil {
		return Figures{}, err
	}
	before, storeBefore, n := usage(), w.store.Stats(), ended.Load()
	counting.Store(true)
	began := time.Now()
	if err := profiled(o.Profile, func() { pass(ctx, o, &ended, o.For, "measuring") }); err != nil {
		return Figures{}, err
	}
	took, sagas := time.Since(began), float64(ended.Load()-n)
	after, storeAfter := usage(), w.store.Stats()
	if err := context.Cause(ctx); err != nil {
		return Figures{}, err
	}
	stop(nil)
	if sagas == 0 {
		return Figures{}, fmt.Errorf("no saga ended within %s", o.For)
	}
	if err := w.store.Checkpoint(context.WithoutCancel(ctx)); err != nil {
		return Figures{}, err
	}
	last := w.store.Stats()
	changes := float64(storeAfter.Changes - storeBefore.Changes)
	logged := float64(last.Log.Written - storeBefore.Log.Written)
	state := float64(last.CheckpointBytes - storeBefore.CheckpointBytes)
	return Figures{
		Mix: o.Mix, InFlight: o.InFlight, Carrier: o.carrier(), BusStorage: o.busStorage(), Callers: o.Callers, Upkeep: o.Upkeep,
		Sagas: int(sagas), Seconds: took.Seconds(),
		SagasPerSecond: sagas / took.Seconds(),
		P50Ms:          times.quantile(0.5), P99Ms: times.quantile(0.99), P999Ms: times.quantile(0.999),
		CPUSecondsPer1000:       (after.cpu - before.cpu).Seconds() / sagas * 1000,
		CommitsPerSaga:          float64(storeAfter.Calls-storeBefore.Calls) / sagas,
		FsyncsPerSaga:           float64(storeAfter.Log.Syncs-storeBefore.Log.Syncs) / sagas,
		CheckpointFsyncsPerSaga: float64(last.CheckpointSyncs-storeBefore.CheckpointSyncs) / sagas,
		BytesWrittenPerSaga:     (logged + state) / sagas,
		PageBytesPerSaga:        (float64(last.Log.Pages-storeBefore.Log.Pages)*log.PageSize + state) / sagas,
		LogBytesPerSaga:         logged / sagas,
		AllocationsPerSaga:      float64(after.allocations-before.allocations) / sagas,
		TransitionsPerSaga:      changes / sagas,
		AllocationsPerStep:      float64(after.allocations-before.allocations) / changes,
		PeakRSSBytes:            after.peak,
	}, nil
}

// profiled writes a CPU profile of a function, if a writer is configured.
func profiled(w io.Writer, do func()) error {
	if w != nil {
		if err := pprof.StartCPUProfile(w); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	do()
	return nil
}

// longestWave limits the wait for the sagas in flight.
const longestWave = 2 * time.Minute

// pass waits for a duration, and then until as many sagas have ended as are in flight, but not
// longer than longestWave. Sagas may end in waves, and a measurement needs a full wave. It reports
// progress.
func pass(ctx context.Context, o Options, ended *atomic.Int64, d time.Duration, what string) {
	timer, ticker, began := time.NewTimer(d), time.NewTicker(time.Second), time.Now()
	defer timer.Stop()
	defer ticker.Stop()
	check := time.NewTicker(min(d, 100*time.Millisecond)) // checks whether a wave is complete
	defer check.Stop()
	first, late := ended.Load(), false
	last := first
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			late = true
		case <-check.C:
		case <-ticker.C:
			now := ended.Load()
			if o.Progress != nil {
				_, _ = fmt.Fprintf(o.Progress, "%s, %d in flight, %s: %s in the last second\n", o.Mix, o.InFlight, what, plural.Of(now-last, "saga", "sagas"))
			}
			last = now
		}
		if late && (ended.Load()-first >= int64(o.InFlight) || time.Since(began) > d+longestWave) {
			return
		}
	}
}

// one runs one saga to its end.
func (w *world) one(ctx context.Context, n int64, mix Mix) error {
	want := contract.PhaseCompleted
	if mix == Compensating {
		want = contract.PhaseCompensated
	}
	if w.ends != nil {
		return w.heard(ctx, n, want)
	}
	end, err := w.outcome(ctx, n)
	if err != nil {
		return err
	}
	if end.Phase != want {
		return fmt.Errorf("saga %s is %s (%s), want %s", end.ID, end.Phase, end.Reason, want)
	}
	return nil
}

// outcome starts a saga and waits for its end.
func (w *world) outcome(ctx context.Context, n int64) (*api.Saga, error) {
	if w.callers != CallersWait {
		return w.caller.Run(ctx, checkout, input(n))
	}
	status, err := w.caller.Start(ctx, checkout, input(n))
	if err != nil {
		return nil, err
	}
	return w.caller.Wait(ctx, status.ID)
}

// TempDir makes a directory for a run's files below dir ("" is the system's temporary directory)
// and returns a function that removes it.
func TempDir(dir string) (path string, remove func(), err error) {
	path, err = os.MkdirTemp(dir, "amends-bench-")
	return path, func() { _ = os.RemoveAll(path) }, err
}
