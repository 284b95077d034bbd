package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/amends-dev/amends/internal/bench"
	"github.com/amends-dev/amends/internal/heap"
	"github.com/amends-dev/amends/internal/terminal"
)

// benchCmds holds the benchmarks. The default is Run.
type benchCmds struct {
	Run   benchCmd      `cmd:"" default:"withargs" help:"Measure sagas at different numbers in flight, and compare with the bare bus and a hand-written saga (the default)."`
	Large benchLargeCmd `cmd:"" help:"Compare a coordinator with a full store and one with an empty store: start, memory, throughput, lists, retention."`
}

type benchCmd struct {
	outputFlag
	InFlight []int         `default:"1,64,512,4096" placeholder:"N,…" help:"Sagas in flight at the same time; one run for each number. Default: ${default}."`
	Mix      []string      `default:"all-well,compensating" enum:"all-well,compensating" help:"How the sagas end: ${enum}; one run for each. Default: both."`
	Carrier  []string      `default:"tcp" enum:"tcp,in-process,accounts" help:"How clients connect to the embedded NATS server: ${enum} (tcp with one account per client); one run for each. Default: ${default}."`
	Storage  string        `name:"bus-storage" default:"file" enum:"file,memory" help:"Where the embedded NATS server keeps commands and answers: ${enum}; the bare bus and the hand-written saga always use files. Default: ${default}."`
	Callers  string        `default:"run" enum:"run,wait,listen" help:"How callers learn that a saga ended: run (one request, answered at the end), wait (start, then a second request that waits) or listen (start, then listen for the lifecycle event). Default: ${default}."`
	Upkeep   []string      `default:"usual" enum:"usual,none,all" help:"What the store does beside commits: usual (checkpoints), none (no checkpoints), or all (checkpoints, a backup every second, and sagas removed a second after their end); one run for each. Default: ${default}."`
	For      time.Duration `default:"5s" help:"Measured time of each run, after a warm-up of a fifth of it. A run takes longer if fewer sagas than --in-flight have ended by then."`
	Write    string        `type:"path" placeholder:"FILE" help:"Also write the results to FILE as JSON, one object per run."`
	Profile  string        `name:"cpu-profile" type:"path" placeholder:"FILE" help:"Write a CPU profile of the run, without the warm-up and the bare bus; read it with go tool pprof -top FILE."`
	Dir      string        `type:"existingdir" placeholder:"DIR" help:"Directory for the files, on the disk to measure. Default: the system's temporary directory."`
}

// Run measures the whole system on this machine.
func (c *benchCmd) Run(env *environment) error {
	if c.Profile != "" && len(c.Mix)*len(c.InFlight)*len(c.Carrier)*len(c.Upkeep) != 1 {
		err := errors.New("--cpu-profile needs a single run: give one --mix, one --in-flight, one --carrier and one --upkeep")
		return &exitError{code: ExitUsage, err: err}
	}
	to := io.Discard
	if c.Output == "json" {
		to = env.stdout.Lines()
	}
	if c.Write != "" {
		f, err := os.Create(c.Write)
		if err != nil {
			return fmt.Errorf("--write: %w", err)
		}
		defer func() { _ = f.Close() }() // Encode has already reported any write error
		to = io.MultiWriter(to, f)
	}
	heap.Tune(env.ctx, slog.New(slog.NewTextHandler(env.stderr.Lines(), nil))) // as in serve
	var all []bench.Figures
	encoder := json.NewEncoder(to)
	for _, o := range c.runs() {
		figures, err := c.one(env, o)
		if err != nil {
			return fmt.Errorf("%s with %d in flight: %w", o.Mix, o.InFlight, err)
		}
		all = append(all, figures)
		if err := encoder.Encode(figures); err != nil { // written as soon as the run ends
			return err
		}
	}
	if c.Output == "json" {
		return nil
	}
	printFigures(env.stdout, all)
	return nil
}

// runs returns one set of options for each run.
func (c *benchCmd) runs() (all []bench.Options) {
	for _, carrier := range c.Carrier {
		for _, mix := range c.Mix {
			for _, n := range c.InFlight {
				for _, upkeep := range c.Upkeep {
					all = append(all, bench.Options{
						Mix: bench.Mix(mix), InFlight: n, For: c.For, InProcess: carrier == "in-process", Accounts: carrier == "accounts",
						BusInMemory: c.Storage == "memory", Callers: bench.Callers(c.Callers), Upkeep: bench.Upkeep(upkeep),
					})
				}
			}
		}
	}
	return all
}

func (c *benchCmd) one(env *environment, o bench.Options) (bench.Figures, error) {
	switch {
	case o.Accounts && o.Callers == bench.CallersListen:
		return bench.Figures{}, &exitError{code: ExitUsage, err: errors.New("--callers listen needs lifecycle events, which callers with their own accounts may not read; use another --carrier")}
	case o.InFlight < 1 || o.InFlight > 100_000:
		return bench.Figures{}, &exitError{code: ExitUsage, err: fmt.Errorf("--in-flight %d: use 1 to 100,000", o.InFlight)}
	case c.For < time.Second:
		return bench.Figures{}, &exitError{code: ExitUsage, err: fmt.Errorf("--for %s: use a second or more", c.For)}
	}
	dir, remove, err := bench.TempDir(c.Dir)
	if err != nil {
		return bench.Figures{}, err
	}
	defer remove()
	o.Dir, o.Progress = dir, env.stderr.Lines()
	if c.Profile == "" {
		return bench.Run(env.ctx, o)
	}
	f, err := os.Create(c.Profile)
	if err != nil {
		return bench.Figures{}, fmt.Errorf("--cpu-profile: %w", err)
	}
	o.Profile = f
	figures, err := bench.Run(env.ctx, o)
	return figures, errors.Join(err, f.Close())
}

func printFigures(w *terminal.Stream, all []bench.Figures) {
	rows := [][]string{{
		"MIX", "CARRIER", "BUS", "UPKEEP", "IN FLIGHT", "SAGAS/S", "OF BARE BUS", "OF HAND-WRITTEN", "P50 MS", "P99 MS", "P99.9 MS",
		"CPU S/1000", "BUS CPU", "HAND CPU", "FSYNCS/SAGA", "BYTES/SAGA", "OF THE LOG", "IN PAGES", "ALLOCS/TRANSITION", "PEAK RSS MB",
	}}
	for _, f := range all {
		rows = append(rows, []string{
			string(f.Mix), f.Carrier, f.BusStorage, string(f.Upkeep), fmt.Sprint(f.InFlight), fmt.Sprintf("%.0f", f.SagasPerSecond), fmt.Sprintf("%.2f", f.BusRatio), fmt.Sprintf("%.2f", f.HandWrittenRatio),
			fmt.Sprintf("%.1f", f.P50Ms), fmt.Sprintf("%.1f", f.P99Ms), fmt.Sprintf("%.1f", f.P999Ms),
			fmt.Sprintf("%.2f", f.CPUSecondsPer1000), fmt.Sprintf("%.2f", f.BareBusCPUPer1000), fmt.Sprintf("%.2f", f.HandWrittenCPUPer1000),
			fmt.Sprintf("%.3f", f.FsyncsPerSaga),
			fmt.Sprintf("%.0f", f.BytesWrittenPerSaga), fmt.Sprintf("%.0f", f.LogBytesPerSaga), fmt.Sprintf("%.0f", f.PageBytesPerSaga),
			fmt.Sprintf("%.0f", f.AllocationsPerStep), fmt.Sprint(f.PeakRSSBytes >> 20),
		})
	}
	w.Table(rows)
	w.Printf(`Four steps a saga; embedded NATS, every commit on disk, participants with an inbox in memory, callers
that run them, all in this process. Right after each run the bare bus carries the same messages by plain nats.go
code, and a saga written by hand on Watermill's router and a bbolt table does the same work: the ratios compare with
these two, and BUS CPU and HAND CPU belong to them. Compare ratios of one run, not figures of different machines.
`)
	for _, line := range remarks(all) {
		w.Printf("%s\n", line)
	}
}

// remarks returns one line for each comparison between runs.
func remarks(all []bench.Figures) (lines []string) {
	well, without := map[string]bench.Figures{}, map[string]bench.Figures{}
	for _, f := range all {
		same := fmt.Sprintf("%s, %d in flight, %s", f.Carrier, f.InFlight, f.Mix)
		if f.Upkeep == bench.UpkeepNone {
			without[same] = f
		} else if w, ok := without[same]; ok {
			lines = append(lines, fmt.Sprintf("%s: p99 with upkeep %s over that without: %.2f.", same, f.Upkeep, f.P99Ms/w.P99Ms))
		}
		of := fmt.Sprintf("%s, %d in flight", f.Carrier, f.InFlight)
		if f.LatencyRatio > 0 {
			lines = append(lines, fmt.Sprintf("%s, %s: a saga took %.2f times its round on the bare bus and its %.0f fsyncs of %.2f ms.",
				of, f.Mix, f.LatencyRatio, f.FsyncsPerSaga, f.FsyncMs))
		}
		if f.Mix == bench.AllWell {
			well[of] = f
		} else if w, ok := well[of]; ok {
			lines = append(lines, fmt.Sprintf("%s: messages a second of the mix %s over those of all-well: %.2f.",
				of, f.Mix, f.SagasPerSecond*float64(f.MessagesPerSaga)/(w.SagasPerSecond*float64(w.MessagesPerSaga))))
		}
	}
	return lines
}
