package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/amends-dev/amends/internal/bench"
	"github.com/amends-dev/amends/internal/terminal"
	"github.com/amends-dev/amends/server"
)

type benchLargeCmd struct {
	outputFlag
	Open     int           `default:"1000000" placeholder:"N" help:"Sagas in the store that wait for a timer. Default: ${default}."`
	Ended    int           `default:"0" placeholder:"N" help:"Ended sagas in the store. Half of them are older than the retention, and expire during the last measurement. Default: ${default}."`
	InFlight int           `default:"512" placeholder:"N" help:"Sagas in flight while throughput is measured. Default: ${default}."`
	For      time.Duration `default:"8s" help:"How long each figure is measured."`
	Dir      string        `type:"existingdir" placeholder:"DIR" help:"Directory for the files, on the disk to measure; about 1.2 kB for each saga. Default: the system's temporary directory."`
}

// Run measures a coordinator with a full store on this machine.
func (c *benchLargeCmd) Run(env *environment) error {
	switch {
	case c.Open < 0 || c.Ended < 0 || c.Open+c.Ended == 0:
		return &exitError{code: ExitUsage, err: errors.New("--open and --ended: give a positive number of one of them")}
	case c.InFlight < 1 || c.InFlight > 100_000:
		return &exitError{code: ExitUsage, err: fmt.Errorf("--in-flight %d: use 1 to 100,000", c.InFlight)}
	case c.For < time.Second:
		return &exitError{code: ExitUsage, err: fmt.Errorf("--for %s: use a second or more", c.For)}
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	dir, remove, err := bench.TempDir(c.Dir)
	if err != nil {
		return err
	}
	defer remove()
	figures, err := bench.Large(env.ctx, bench.LargeOptions{
		Open: c.Open, Ended: c.Ended, InFlight: c.InFlight, For: c.For, Dir: dir, Store: server.StoreFile, Progress: env.stderr.Lines(),
		Serve: func(dir, ready string, retention time.Duration) *exec.Cmd {
			// --max-open leaves room for new sagas besides the stored ones. The end of the context does
			// not kill the process, so that an interrupt shuts it down gracefully.
			return exec.CommandContext(context.WithoutCancel(env.ctx), program, "serve", "--data-dir", dir, "--ready-file", ready, "--nats-listen", "127.0.0.1:0", "--http", "127.0.0.1:0",
				"--log-level", "warn", "--max-open", strconv.Itoa(2*c.Open+1_000_000), "--retention", retention.String())
		},
	})
	if err != nil {
		return err
	}
	return c.print(env.stdout, figures, func(w *terminal.Stream) { printLarge(w, &figures) })
}

func printLarge(w *terminal.Stream, f *bench.LargeFigures) {
	mib := func(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
	rows := [][]string{
		{"FIGURE", "FULL STORE", "EMPTY STORE"},
		{"sagas waiting, ended", fmt.Sprintf("%d, %d", f.Open, f.Ended), "0, 0"},
		{"file", mib(f.FileBytes), ""},
		{"start until ready, cold", fmt.Sprintf("%.2f s", f.ReadySeconds), fmt.Sprintf("%.2f s", f.EmptyReadySeconds)},
		{"resident when ready", mib(f.RSSBytes), ""},
		{"… of it anonymous", mib(f.RSSAnonBytes), ""},
		{"resident after load", mib(f.LoadedRSSBytes), ""},
		{"… of it anonymous", mib(f.LoadedAnonBytes), ""},
		{"new sagas a second", fmt.Sprintf("%.0f (%.2f of empty)", f.SagasPerSecond, f.ThroughputRatio), fmt.Sprintf("%.0f", f.EmptySagasPerSecond)},
		{"coordinator's CPU s/1000", fmt.Sprintf("%.3f", f.CPUPer1000), fmt.Sprintf("%.3f", f.EmptyCPUPer1000)},
	}
	w.Table(rows)
	w.Printf("\n")
	rows = [][]string{{"FIRST PAGE OF", "SAGAS", "MORE", "FIRST MS", "P50 MS", "MAX MS"}}
	for _, l := range f.Lists {
		rows = append(rows, []string{l.Filter, fmt.Sprint(l.Sagas), fmt.Sprint(l.More), fmt.Sprintf("%.1f", l.FirstMs), fmt.Sprintf("%.1f", l.P50Ms), fmt.Sprintf("%.1f", l.MaxMs)})
	}
	w.Table(rows)
	if e := f.Expiry; e != nil {
		w.Printf("\n")
		w.Table([][]string{
			{"AT " + fmt.Sprintf("%.0f", e.Rate) + " SAGAS/S", "P50 MS", "P99 MS"},
			{"nothing expires", fmt.Sprintf("%.1f", e.QuietP50Ms), fmt.Sprintf("%.1f", e.QuietP99Ms)},
			{fmt.Sprintf("%.0f a second expire", e.ExpiredPerSecond), fmt.Sprintf("%.1f", e.P50Ms), fmt.Sprintf("%.1f", e.P99Ms)},
		})
	}
	w.Printf(`Both coordinators are processes of their own, with their streams in files and every commit on disk; participants and
callers are in this one. Throughput is measured in turns. Compare the columns of one run only, not with figures of other machines.
`)
}
