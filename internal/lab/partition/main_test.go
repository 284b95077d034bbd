//go:build linux && lab

package partition

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/amends-dev/amends/internal/cli"
	"github.com/amends-dev/amends/internal/lab/world"
	"github.com/amends-dev/amends/transport/natsbus"
)

// roleEnv names the variable that holds the role of a started process, as JSON.
const roleEnv = "AMENDS_PARTITION_PART"

var (
	long      = flag.Bool("partition.long", false, "make every fault, each as often as -partition.rounds says")
	rounds    = flag.Int("partition.rounds", 1, "how often the long form makes each fault")
	only      = flag.String("partition.only", "", "make only the faults whose names match this regular expression")
	asRelease = flag.String("partition.release", "", "add the store that this program writes to the corpus, as that of a release: v0.1.0")
)

// part configures a process when it is started.
type part struct {
	Role     string   // node, server, coordinator or bank
	Args     []string // further arguments of the coordinator
	Dir      string   // data directory
	Node     int      // index of the node, 0 to 2
	URL      string   // URLs of the servers
	Cgroup   string   // cgroup to join; "" for none
	Files    uint64   // limit of open files; 0 sets none
	Replicas int      // replicas of each stream
}

func TestMain(m *testing.M) {
	if text := os.Getenv(roleEnv); text != "" {
		os.Exit(play(text))
	}
	world.VerifyMain(m)
}

// play runs a process in its role and returns its exit code.
func play(text string) int {
	var p part
	err := json.Unmarshal([]byte(text), &p)
	if err == nil && p.Cgroup != "" {
		err = os.WriteFile(p.Cgroup+"/cgroup.procs", []byte("0"), 0)
	}
	if err == nil && p.Files > 0 {
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: p.Files, Max: p.Files})
	}
	if err == nil && p.Role == "coordinator" {
		return cli.Main(p.Args, os.Stdin, os.Stdout, os.Stderr)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch {
	case err != nil:
	case p.Role == "node":
		err = playNode(ctx, p)
	case p.Role == "server":
		err = playServer(ctx, p)
	case p.Role == "bank":
		err = playBank(ctx, p)
	default:
		err = fmt.Errorf("there is no role %q", p.Role)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Role, err)
		return 1
	}
	return 0
}

// playBank runs the participants, each with its own connection.
func playBank(ctx context.Context, p part) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g, ctx := errgroup.WithContext(ctx)
	var waiting atomic.Int64
	waiting.Store(int64(len(world.Participants)))
	ready := func() {
		if waiting.Add(-1) > 0 {
			return
		}
		if err := os.WriteFile(filepath.Join(p.Dir, "ready"), nil, 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err) // the test waits for the process and shows its log
		}
	}
	for _, name := range world.Participants {
		dir := filepath.Join(p.Dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		g.Go(func() error {
			return world.Serve(ctx, world.Service{
				Name: name, Dir: dir, Bus: natsbus.Config{URL: p.URL, Replicas: p.Replicas, Logger: logger}, Ready: ready,
			})
		})
	}
	return g.Wait()
}
