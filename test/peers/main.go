package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// run is one comparison.
type run struct {
	restate, coordinator string // paths of the programs
	mix                  string
	inFlight             int
	d                    time.Duration // measured time, after a warm-up of a fifth
	partitions           int           // of Restate
	keys                 bool          // Restate's callers send idempotency keys
}

// options are the flags.
type options struct {
	run
	numbers []int  // in flight
	rounds  int    // of each number
	dir     string // for the files of both
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := compare(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// parse reads the flags.
func parse(arguments []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	numbers := flags.String("in-flight", "1,64,512", "sagas in flight at the same time; one comparison for each `N,…`")
	flags.DurationVar(&o.d, "for", 5*time.Second, "measured time of each run, after a warm-up of a fifth of it")
	flags.StringVar(&o.mix, "mix", allWell, "how the sagas end: all-well or compensating")
	flags.IntVar(&o.rounds, "rounds", 1, "comparisons of each number; Amends runs first in every second one")
	flags.IntVar(&o.partitions, "partitions", 24, "partitions of Restate; 24 is its default")
	flags.BoolVar(&o.keys, "idempotency-keys", false, "start Restate's sagas with idempotency keys, as Amends' always are")
	flags.StringVar(&o.dir, "dir", "", "`directory` for the files of both, on the disk to measure (default: the system's for temporary files)")
	flags.StringVar(&o.restate, "restate", "", "`path` of restate-server (default: the one in node_modules)")
	flags.StringVar(&o.coordinator, "coordinator", "", "`path` of the coordinator (default: built from this repository)")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; flags only, see --help", flags.Arg(0))
	}
	for text := range strings.SplitSeq(*numbers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("--in-flight %s: %q is not a number from 1; write 1,64,512", *numbers, text)
		}
		o.numbers = append(o.numbers, n)
	}
	switch {
	case o.mix != allWell && o.mix != compensating:
		return o, fmt.Errorf("--mix %s: it is all-well or compensating", o.mix)
	case o.d <= 0:
		return o, fmt.Errorf("--for %s: it has to be positive, such as 5s", o.d)
	case o.partitions < 1:
		return o, fmt.Errorf("--partitions %d: it is at least 1", o.partitions)
	case o.rounds < 1:
		return o, fmt.Errorf("--rounds %d: it is at least 1", o.rounds)
	}
	return o, nil
}

// compare runs all comparisons and prints each as it is done.
func compare(ctx context.Context, arguments []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(arguments, stderr)
	if err != nil {
		return err
	}
	if o.restate == "" {
		if o.restate, err = findRestate(); err != nil {
			return err
		}
	}
	if o.dir, err = os.MkdirTemp(o.dir, "amends-peers-"); err != nil {
		return fmt.Errorf("make a directory for the files: %w; name an existing one with --dir", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if o.coordinator == "" {
		fmt.Fprintln(stderr, "build the coordinator")
		if o.coordinator, err = buildCoordinator(ctx, o.dir); err != nil {
			return err
		}
	}
	fmt.Fprint(stdout, heading)
	for _, o.inFlight = range o.numbers {
		for round := range o.rounds {
			amends, restate, err := o.pair(ctx, round%2 == 1, stderr)
			if err != nil {
				return err
			}
			fmt.Fprint(stdout, rows(o.inFlight, amends, restate))
		}
	}
	return nil
}

// pair runs both, one right after the other.
func (o *options) pair(ctx context.Context, amendsFirst bool, stderr io.Writer) (amends, restate figures, err error) {
	ofAmends := func() error {
		amends, err = o.one(ctx, "Amends", runAmends, stderr)
		return err
	}
	ofRestate := func() error {
		restate, err = o.one(ctx, "Restate", runRestate, stderr)
		return err
	}
	order := []func() error{ofRestate, ofAmends}
	if amendsFirst {
		order = []func() error{ofAmends, ofRestate}
	}
	for _, measure := range order {
		if err := measure(); err != nil {
			return figures{}, figures{}, err
		}
	}
	return amends, restate, nil
}

// measure runs one system with files in dir.
type measure func(ctx context.Context, dir string, r run) (figures, error)

// one measures a system in a directory of its own.
func (o *options) one(ctx context.Context, system string, m measure, stderr io.Writer) (f figures, err error) {
	fmt.Fprintf(stderr, "%s, %s, %d in flight\n", system, o.mix, o.inFlight)
	dir, err := os.MkdirTemp(o.dir, "run-")
	if err != nil {
		return figures{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if f, err = m(ctx, dir, o.run); err != nil {
		return figures{}, fmt.Errorf("%s, %d in flight: %w", system, o.inFlight, err)
	}
	return f, nil
}

// runRestate measures Restate with files in dir.
func runRestate(ctx context.Context, dir string, r run) (f figures, err error) {
	p, err := startRestate(ctx, dir, r)
	if err != nil {
		return figures{}, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	l := &load{
		n: r.inFlight, d: r.d, count: p.count,
		one: func(ctx context.Context, n int64) error { return p.one(ctx, n, r.mix) },
	}
	return l.measure(ctx)
}

const heading = `| in flight | | sagas/s | p50 ms | p99 ms | CPU s per 1000 | fsyncs per saga | one fsync ms |
|---:|---|---:|---:|---:|---:|---:|---:|
`

// rows returns the lines of one comparison in the table.
func rows(inFlight int, amends, restate figures) string {
	line := func(what string, f figures, fsync string) string {
		return fmt.Sprintf("| %d | %s | %.0f | %.1f | %.1f | %.2f | %.2f | %s |\n",
			inFlight, what, f.SagasPerSecond, f.P50Ms, f.P99Ms, f.CPUSecondsPer1000, f.FsyncsPerSaga, fsync)
	}
	return line("Amends", amends, fmt.Sprintf("%.2f", amends.FsyncMs)) + line(fmt.Sprintf("Restate (server: %.0f %% of its CPU)", 100*restate.ServerShare), restate, "") +
		fmt.Sprintf("| %d | Amends ÷ Restate | %.2f | %.2f | %.2f | %.2f | %.2f | |\n", inFlight,
			amends.SagasPerSecond/restate.SagasPerSecond, amends.P50Ms/restate.P50Ms, amends.P99Ms/restate.P99Ms,
			amends.CPUSecondsPer1000/restate.CPUSecondsPer1000, amends.FsyncsPerSaga/restate.FsyncsPerSaga)
}
