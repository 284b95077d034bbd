package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/internal/plural"
	"github.com/amends-dev/amends/internal/simulation"
	"github.com/amends-dev/amends/internal/terminal"
)

type simulateCmd struct {
	Sagas   int           `placeholder:"N" help:"Number of sagas to run. Default: 100,000. With --verbose: maximum number in the run."`
	Within  time.Duration `placeholder:"DURATION" help:"Stop after this time, such as 6m, and fail if not all sagas have run. Default: no limit."`
	Seed    uint64        `default:"1" help:"Seed of the first run; each further run increments it."`
	Verbose bool          `short:"v" help:"Run one seed only and print its history."`
	Off     []string      `placeholder:"FAULT,…" help:"Kinds of faults to turn off."`
	Bug     string        `placeholder:"BUG" help:"Enable this bug, to verify that the checks catch it."`
	Each    int           `name:"jobs" placeholder:"N" help:"Number of parallel runs. Default: one per processor."`
	Profile string        `name:"cpu-profile" type:"path" placeholder:"FILE" help:"Write a CPU profile of the batch; read it with go tool pprof -top FILE."`
}

// Run runs sagas with injected faults in virtual time, and checks the invariants.
func (c *simulateCmd) Run(env *environment) error {
	off, err := simulation.ParseFaults(c.Off)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	bug, err := simulation.ParseBug(c.Bug)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	if c.Sagas < 0 || c.Each < 0 || c.Within < 0 {
		return &exitError{code: ExitUsage, err: errors.New("--sagas and --jobs are numbers from 1, and --within is a time such as 6m")}
	}
	if c.Verbose {
		return replay(env, simulation.Options{Seed: c.Seed, Sagas: c.Sagas, Off: off, Bug: bug})
	}
	return c.batch(env, off, bug)
}

// batch runs many seeds and prints a summary.
func (c *simulateCmd) batch(env *environment, off []simulation.Fault, bug simulation.Bug) error {
	defer simulation.Memory()()
	batch := simulation.Batch{Seed: c.Seed, Sagas: c.Sagas, Parallel: c.Each, Off: off, Bug: bug}
	if batch.Sagas == 0 {
		batch.Sagas = 100_000
	}
	batch.Progress = progress(env.stderr, batch.Sagas)
	ctx := env.ctx
	if c.Within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Within)
		defer cancel()
	}
	stop, err := profile(c.Profile)
	if err != nil {
		return err
	}
	before := processorTime()
	totals := batch.Run(ctx)
	spent := processorTime() - before
	if err := stop(); err != nil {
		return err
	}
	printTotals(env.stdout, &totals, c.Seed, spent)
	switch {
	case totals.NumFailed > 0:
		return shrunk(env, &totals)
	case env.ctx.Err() != nil:
		return env.ctx.Err()
	case totals.Sagas < batch.Sagas:
		return &exitError{
			code: ExitFailed, hint: "allow more time with --within, run fewer sagas, or use a less busy machine",
			err: fmt.Errorf("NOT FINISHED: %d of %s ran within %s, and none of them broke an invariant", totals.Sagas, plural.Of(batch.Sagas, "saga", "sagas"), c.Within),
		}
	case bug == "":
		return totals.Missing(off)
	}
	return nil
}

// profile writes a CPU profile to file until stop is called. It does nothing if file is "".
func profile(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("--cpu-profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("--cpu-profile: %w", err), f.Close())
	}
	return func() error { pprof.StopCPUProfile(); return f.Close() }, nil
}

// replay prints the history of one run.
func replay(env *environment, o simulation.Options) error {
	r := simulation.Replay(env.ctx, o)
	if err := simulation.Print(env.stdout.Lines(), r.History); err != nil {
		return err
	}
	env.stdout.Printf("%s, %s, %s, digest %016x\n", plural.Of(r.Sagas, "saga", "sagas"), plural.Of(r.Commits, "commit", "commits"), plural.Of(r.Events, "event", "events"), r.Digest)
	for _, v := range r.Violations {
		env.stdout.Printf("%s\n", v)
	}
	if len(r.Violations) > 0 {
		return errors.New(plural.Of(len(r.Violations), "invariant violation", "invariant violations"))
	}
	return nil
}

// shrunk reduces the first failed run to a minimal case, and prints its violations.
func shrunk(env *environment, totals *simulation.Totals) error {
	small := simulation.Shrink(env.ctx, totals.Failed[0])
	for _, v := range small.Violations {
		env.stdout.Printf("%s\n", v)
	}
	return &exitError{
		code: ExitFailed, hint: "see: " + small.Options.Command(),
		err: fmt.Errorf("%s broke an invariant, the first of them with seed %d", plural.Of(totals.NumFailed, "run", "runs"), totals.Failed[0].Options.Seed),
	}
}

// progress returns a function that prints a line every few seconds.
func progress(w *terminal.Stream, wanted int) func(simulation.Totals) {
	var last time.Duration
	return func(t simulation.Totals) {
		if t.Took-last < 5*time.Second {
			return
		}
		last = t.Took
		w.Printf("%d of %s, %.0f a second, %s broke an invariant\n", t.Sagas, plural.Of(wanted, "saga", "sagas"), rate(&t), plural.Of(t.NumFailed, "run", "runs"))
	}
}

func rate(t *simulation.Totals) float64 { return float64(t.Sagas) / max(t.Took.Seconds(), 1e-3) }

// processorTime returns the CPU time that this process has used.
func processorTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail with these arguments
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func printTotals(w *terminal.Stream, t *simulation.Totals, seed uint64, processor time.Duration) {
	rows := [][]string{{"WHAT", "TIMES"}}
	row := func(what string, n int) { rows = append(rows, []string{what, fmt.Sprint(n)}) }
	for k, n := range t.Faults {
		row("fault: "+simulation.Fault(k).String(), n)
	}
	for s, n := range t.Coverage {
		row("seen: "+simulation.CoveragePoint(s).String(), n)
	}
	row("sagas", t.Sagas)
	row("completed", t.Phases[contract.PhaseCompleted])
	row("compensated", t.Phases[contract.PhaseCompensated])
	row("abandoned", t.Phases[contract.PhaseParked])
	row("repairs after the faults", t.Repairs)
	row("runs", t.Runs)
	row("events", t.Events)
	row("commits", t.Commits)
	row("runs that broke an invariant", t.NumFailed)
	w.Table(rows)
	w.Printf("seeds %d to %d: %s in %s, %.0f a second; %s of processor time a saga\n",
		seed, seed+uint64(max(t.Runs-1, 0)), plural.Of(t.Sagas, "saga", "sagas"), t.Took.Round(time.Millisecond), rate(t),
		(processor / time.Duration(max(t.Sagas, 1))).Round(time.Microsecond))
}
