package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// LargeOptions configure a measurement with a full store.
type LargeOptions struct {
	Open, Ended int           // open sagas wait for a timer; ended ones are retained
	InFlight    int           // sagas in flight during the measurement of throughput
	For         time.Duration // duration of each measurement
	Dir         string        // directory for the files, which the caller removes
	Store       string        // name of the store's file within a data directory
	Progress    io.Writer     // gets progress once a second; may be nil
	// Serve returns the command that runs a coordinator on a data directory until it is
	// interrupted. It retains ended sagas for the given time, and writes its addresses to the file
	// ready, as JSON.
	Serve func(dir, ready string, retention time.Duration) *exec.Cmd
}

// LargeFigures compares a full store with an empty one in the same run.
type LargeFigures struct {
	Open      int   `json:"open"`
	Ended     int   `json:"ended"`
	FileBytes int64 `json:"file_bytes"`
	// FillSeconds is how long it took to fill the store.
	FillSeconds float64 `json:"fill_seconds"`

	// The time from the start of the process until it accepts work, with none of the store in the
	// page cache, and the resident memory of the process at that time. Anonymous memory belongs to
	// the process alone. The rest are file pages, which the system can reclaim.
	ReadySeconds      float64 `json:"ready_seconds"`
	EmptyReadySeconds float64 `json:"empty_ready_seconds"`
	RSSBytes          int64   `json:"rss_bytes"`
	RSSAnonBytes      int64   `json:"rss_anon_bytes"`
	LoadedRSSBytes    int64   `json:"loaded_rss_bytes"` // after the throughput measurement
	LoadedAnonBytes   int64   `json:"loaded_rss_anon_bytes"`

	// The rates of new sagas on the full and the empty store, measured in alternating slices, and
	// the CPU time of the two coordinators.
	SagasPerSecond      float64 `json:"sagas_per_second"`
	EmptySagasPerSecond float64 `json:"empty_sagas_per_second"`
	ThroughputRatio     float64 `json:"throughput_ratio"`
	CPUPer1000          float64 `json:"coordinator_cpu_seconds_per_1000"`
	EmptyCPUPer1000     float64 `json:"empty_coordinator_cpu_seconds_per_1000"`

	Lists []ListFigures `json:"lists"`

	Expiry *ExpiryFigures `json:"expiry,omitempty"` // nil if no saga expired
}

// ExpiryFigures compares the latencies of new sagas while retention removes sagas and while it does
// not. Sagas are started at a rate below the system's capacity.
type ExpiryFigures struct {
	Rate             float64 `json:"rate"` // sagas started per second
	QuietP50Ms       float64 `json:"quiet_p50_ms"`
	QuietP99Ms       float64 `json:"quiet_p99_ms"`
	P50Ms            float64 `json:"p50_ms"`
	P99Ms            float64 `json:"p99_ms"`
	ExpiredPerSecond float64 `json:"expired_per_second"`
}

// quietRetention retains all sagas of the filled store. Half of the store's ended sagas are older
// than shortRetention.
const (
	quietRetention = 2 * filledPeriod
	shortRetention = filledPeriod / 2
)

// Large fills a store and measures a coordinator on it, and another one on an empty store.
func Large(ctx context.Context, o LargeOptions) (figures LargeFigures, err error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	l := &large{LargeOptions: o, figures: LargeFigures{Open: o.Open, Ended: o.Ended}}
	defer func() { err = errors.Join(err, l.close()) }()
	for _, part := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"fill the store", l.fill},
		{"start the coordinators", l.start},
		{"measure throughput", l.throughput},
		{"list sagas", l.list},
		{"measure expiry", l.expire},
	} {
		if err := part.do(ctx); err != nil {
			return LargeFigures{}, fmt.Errorf("%s: %w", part.what, err)
		}
	}
	return l.figures, nil
}

// large is a measurement in progress.
type large struct {
	LargeOptions
	figures     LargeFigures
	full, empty *process
}

func (l *large) say(format string, a ...any) {
	_, _ = fmt.Fprintf(l.Progress, format+"\n", a...)
}

func (l *large) fill(ctx context.Context) error {
	began := time.Now()
	for _, dir := range []string{"full", "empty"} {
		if err := os.Mkdir(filepath.Join(l.Dir, dir), 0o700); err != nil {
			return err
		}
	}
	path := filepath.Join(l.Dir, "full", l.Store)
	if err := fillStore(ctx, path, l.Open, l.Ended, l.Progress); err != nil {
		return err
	}
	if err := fillStore(ctx, filepath.Join(l.Dir, "empty", l.Store), 0, 0, l.Progress); err != nil {
		return err
	}
	l.figures.FillSeconds = time.Since(began).Seconds()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	l.figures.FileBytes = info.Size()
	return forgetCached(path)
}

// start starts the two coordinators one after the other, each with its participants.
func (l *large) start(ctx context.Context) (err error) {
	if l.empty, err = l.serve(ctx, "empty", quietRetention); err != nil {
		return err
	}
	if l.full, err = l.serve(ctx, "full", quietRetention); err != nil {
		return err
	}
	l.figures.EmptyReadySeconds, l.figures.ReadySeconds = l.empty.readyAfter.Seconds(), l.full.readyAfter.Seconds()
	m := l.full.memory()
	l.figures.RSSBytes, l.figures.RSSAnonBytes = m.rss, m.anon
	l.say("ready after %.2f s, the empty one after %.2f s; %d MiB resident, %d of them anonymous",
		l.figures.ReadySeconds, l.figures.EmptyReadySeconds, m.rss>>20, m.anon>>20)
	return l.crews(ctx)
}

// crews connects participants and callers to both coordinators.
func (l *large) crews(ctx context.Context) error {
	for _, p := range []*process{l.full, l.empty} {
		if p.workload != nil {
			continue
		}
		c, err := newWorkload(ctx, p.address)
		if err != nil {
			return err
		}
		p.workload = c
	}
	return nil
}

// turns is the number of alternations between the two stores in a comparison.
const turns = 4

func (l *large) throughput(ctx context.Context) error {
	type sum struct {
		ended   int
		seconds float64
		cpu     time.Duration
	}
	sums := map[*process]*sum{l.full: {}, l.empty: {}}
	slice := l.For / turns
	for turn := range turns + 1 {
		for _, p := range l.order(turn) {
			before := p.cpu()
			ended, took, err := p.workload.closedLoop(ctx, l.InFlight, slice)
			if err != nil {
				return fmt.Errorf("the %s store: %w", p.name, err)
			}
			l.say("%s store: %.0f sagas/s", p.name, float64(ended)/took.Seconds())
			if turn == 0 { // warm-up
				continue
			}
			s := sums[p]
			s.ended, s.seconds, s.cpu = s.ended+ended, s.seconds+took.Seconds(), s.cpu+p.cpu()-before
		}
	}
	full, empty := sums[l.full], sums[l.empty]
	if full.ended == 0 || empty.ended == 0 {
		return fmt.Errorf("no saga ended within %s", slice)
	}
	f := &l.figures
	f.SagasPerSecond, f.EmptySagasPerSecond = float64(full.ended)/full.seconds, float64(empty.ended)/empty.seconds
	f.ThroughputRatio = f.SagasPerSecond / f.EmptySagasPerSecond
	f.CPUPer1000, f.EmptyCPUPer1000 = full.cpu.Seconds()/float64(full.ended)*1000, empty.cpu.Seconds()/float64(empty.ended)*1000
	m := l.full.memory()
	f.LoadedRSSBytes, f.LoadedAnonBytes = m.rss, m.anon
	return nil
}

// order returns the order of the two stores in a turn. Each store goes first equally often.
func (l *large) order(turn int) []*process {
	if turn%2 == 0 {
		return []*process{l.full, l.empty}
	}
	return []*process{l.empty, l.full}
}

func (l *large) close() error {
	var errs []error
	for _, p := range []*process{l.full, l.empty} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	return errors.Join(errs...)
}
