package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/amends-dev/amends/internal/bench"
)

type benchCmd struct {
	outputFlag
	InFlight []int         `default:"1,64,512" placeholder:"N,…" help:"Sagas under way at the same time; one run for each. Default: ${default}."`
	Mix      []string      `default:"all-well,compensating" enum:"all-well,compensating" help:"What becomes of the sagas: ${enum}; one run for each. Default: both."`
	For      time.Duration `default:"5s" help:"How long each run is measured, after a warm-up of a fifth of it."`
	Profile  string        `name:"cpu-profile" type:"path" placeholder:"FILE" help:"Write a CPU profile of the run, without warm-up and bare bus; read it with go tool pprof -top FILE."`
	Dir      string        `type:"existingdir" placeholder:"DIR" help:"Where the files go: the disk that is measured. Default: the system's directory for temporary files."`
}

// Run measures the whole system on this machine.
func (c *benchCmd) Run(env *environment) error {
	if c.Profile != "" && len(c.Mix)*len(c.InFlight) != 1 {
		return &exitError{code: ExitUsage, err: errors.New("--cpu-profile is of one run: choose it with one --mix and one --in-flight")}
	}
	var all []bench.Figures
	encoder := json.NewEncoder(env.stdout)
	for _, mix := range c.Mix {
		for _, n := range c.InFlight {
			figures, err := c.one(env, bench.Mix(mix), n)
			if err != nil {
				return fmt.Errorf("%s with %d in flight: %w", mix, n, err)
			}
			all = append(all, figures)
			if c.Output == "json" { // one object per run, as it ends
				if err := encoder.Encode(figures); err != nil {
					return err
				}
			}
		}
	}
	if c.Output == "json" {
		return nil
	}
	printFigures(env.stdout, all)
	return nil
}

func (c *benchCmd) one(env *environment, mix bench.Mix, inFlight int) (bench.Figures, error) {
	switch {
	case inFlight < 1 || inFlight > 100_000:
		return bench.Figures{}, &exitError{code: ExitUsage, err: fmt.Errorf("--in-flight %d: use 1 to 100,000", inFlight)}
	case c.For < time.Second:
		return bench.Figures{}, &exitError{code: ExitUsage, err: fmt.Errorf("--for %s: use a second or more", c.For)}
	}
	dir, remove, err := bench.TempDir(c.Dir)
	if err != nil {
		return bench.Figures{}, err
	}
	defer remove()
	o := bench.Options{Mix: mix, InFlight: inFlight, For: c.For, Dir: dir, Progress: env.stderr}
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

func printFigures(w io.Writer, all []bench.Figures) {
	rows := [][]string{{"MIX", "IN FLIGHT", "SAGAS/S", "OF BARE BUS", "P50 MS", "P99 MS", "CPU S/1000", "FSYNCS/SAGA", "BYTES/SAGA", "ALLOCS/SAGA", "PEAK RSS MB"}}
	for _, f := range all {
		rows = append(rows, []string{
			string(f.Mix), fmt.Sprint(f.InFlight), fmt.Sprintf("%.0f", f.SagasPerSecond), ratio(f.BusRatio), fmt.Sprintf("%.1f", f.P50Ms), fmt.Sprintf("%.1f", f.P99Ms),
			fmt.Sprintf("%.2f", f.CPUSecondsPer1000), fmt.Sprintf("%.2f", f.FsyncsPerSaga), fmt.Sprintf("%.0f", f.BytesWrittenPerSaga),
			fmt.Sprintf("%.0f", f.AllocationsPerSaga), fmt.Sprint(f.PeakRSSBytes >> 20),
		})
	}
	table(w, rows)
	_, _ = fmt.Fprintln(w, strings.TrimSpace(`
Four steps a saga; embedded NATS with file storage over TCP loopback, every commit on disk, participants with an
inbox in memory, callers that start and wait, all in this process. The bare bus carries the same messages by plain
nats.go code, measured right after each run. Figures of different machines do not compare; ratios of one run do.`))
}

// ratio writes a share; "" for none.
func ratio(share float64) string {
	if share == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", share)
}
